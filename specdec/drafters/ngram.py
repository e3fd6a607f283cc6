"""Prompt lookup: what followed the last few tokens when they occurred before."""

import numpy as np
import torch
from attrs import field, frozen
from jaxtyping import Float
from torch import Tensor

from specdec.context import Context
from specdec.errors import OptionError
from specdec.grow import Frontier, grow
from specdec.interfaces import Drafter, TreePolicy
from specdec.nodes import Array, array
from specdec.tree import Tree

Tokens = np.ndarray[tuple[int], np.dtype[np.int64]]


@frozen
class Ngram(Drafter):
    """Looks the longest possible suffix of a row up in the row itself, and counts what followed.

    Several matches make a tree. The counts are the drafter's law, with newer matches slightly preferred, so that any
    policy can shape it (Saxena, "Prompt Lookup Decoding", 2023, for the idea). A suffix of less than `shortest` tokens
    is no match; with 0, what is frequent in the row is guessed where nothing else is known, which pays when sampling.
    """

    policy = "static:levels=4"

    longest: int = field(default=3)
    shortest: int = field(default=1)

    @shortest.validator
    def _ordered(self, _: object, shortest: int) -> None:
        if not 0 <= shortest <= self.longest:
            raise OptionError(f"expected 0 <= shortest <= longest, got {shortest} and {self.longest}")

    def propose(self, context: Context, policy: TreePolicy) -> Tree:
        rows = [array(context.tokens)[row, :length] for row, length in enumerate(context.lengths.tolist())]
        ends = [tokens[-self.longest :].tolist() for tokens in rows]
        size = int(context.tokens.max()) + 1
        first = [self._count(tokens, end, size) for tokens, end in zip(rows, ends, strict=True)]
        if not np.any(first):  # as most steps are when sampling
            return Tree.root(context.roots)

        def score(tree: Tree, frontier: Frontier) -> Float[Tensor, "B M V"]:
            counts = np.zeros((*frontier.nodes.shape, size), dtype=np.float32)
            tokens = tree.tokens.tolist()
            for row, nodes in enumerate(frontier.nodes.tolist()):
                for index, node in enumerate(nodes):
                    if node >= 0:
                        path = [tokens[row][above] for above in tree.path(row, node)]
                        counts[row, index] = self._count(rows[row], ends[row] + path, size) if path else first[row]
            return torch.from_numpy(counts).log()

        return grow(context, policy, score)

    def _count(self, tokens: Tokens, suffix: list[int], size: int) -> Array:
        """Count what followed the longest end of `suffix`, up to `longest` tokens, that occurred before."""
        ends, length = np.arange(len(tokens) - 1), 0
        while length < min(len(suffix), self.longest):
            longer = ends[ends >= length]
            longer = longer[tokens[longer - length] == suffix[-1 - length]]
            if len(longer) == 0:
                break
            ends, length = longer, length + 1
        if length < self.shortest:
            return np.zeros(size)
        counts: Array = np.bincount(tokens[ends + 1], 1 + 0.01 * ends / len(tokens), minlength=size)
        return counts
