"""Prompt lookup: what followed the last few tokens when they occurred before."""

import numpy as np
import torch
from attrs import field, frozen
from jaxtyping import Float
from torch import Tensor

from specdec.context import Context
from specdec.errors import OptionError
from specdec.frontier import Frontier
from specdec.grow import grow
from specdec.interfaces import Drafter, TreePolicy
from specdec.tree import Tree

Tokens = np.ndarray[tuple[int], np.dtype[np.int64]]
Counts = np.ndarray[tuple[int], np.dtype[np.float64]]


@frozen
class Ngram(Drafter):
    """Looks the longest possible suffix of a sequence up in the sequence itself, and counts what followed.

    Several matches make a tree. The counts are the drafter's probabilities, with newer matches slightly preferred, so
    that any policy can shape it (Saxena, "Prompt Lookup Decoding", 2023, for the idea). A suffix of less than
    `shortest` tokens is no match; with 0, what is frequent in the sequence is guessed where nothing else is known,
    which pays when sampling.
    """

    policy = "adaptive:size=8,depth=8,width=1"

    longest: int = field(default=3)
    shortest: int = field(default=1)

    @shortest.validator
    def _ordered(self, _: object, shortest: int) -> None:
        if not 0 <= shortest <= self.longest:
            raise OptionError(f"expected 0 <= shortest <= longest, got {shortest} and {self.longest}")

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        vocabulary, columns = np.unique(np.concatenate(context.tokens), return_inverse=True)
        texts = np.split(columns, np.cumsum(list(map(len, context.tokens)))[:-1])
        places = dict(zip(vocabulary.tolist(), range(len(vocabulary)), strict=True))

        def score(frontier: Frontier) -> Float[Tensor, "R M V"]:
            counts = np.zeros((*frontier.tokens.shape, len(vocabulary)), dtype=np.float32)
            for row, (number, tree) in enumerate(zip(frontier.sequences, frontier.trees, strict=True)):
                end = texts[number][-self.longest :].tolist() if self.longest else []
                for place, node in enumerate(frontier.nodes[row]):
                    suffix = [*end, *(places[tree.tokens[above]] for above in tree.path(node))]
                    counts[row, place] = self._count(texts[number], suffix, len(vocabulary))
            return torch.from_numpy(counts).log()

        return grow(context, policy, score, vocabulary.tolist())

    def _count(self, tokens: Tokens, suffix: list[int], size: int) -> Counts:
        """Count what followed the longest end of `suffix`, up to `longest` tokens, that occurred before."""
        ends, length = np.arange(len(tokens) - 1), 0
        while length < min(len(suffix), self.longest):
            longer = ends[ends >= length]
            longer = longer[tokens[longer - length] == suffix[-1 - length]]
            if len(longer) == 0:
                break
            ends, length = longer, length + 1
        if length < self.shortest or len(ends) == 0:
            return np.zeros(size)
        return np.bincount(tokens[ends + 1], 1 + 0.01 * ends / len(tokens), minlength=size).astype(np.float64)
