"""What target and drafter say, small enough to be enumerated and different after every path."""

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from random import Random

import numpy as np
import torch
from attrs import frozen
from jaxtyping import Float
from torch import Tensor

from specdec.chance import Dice, Probs
from specdec.interfaces import Law
from specdec.nodes import PADDING
from specdec.testing.shapes import Shape
from specdec.tree import Tree

Path = tuple[int, ...]
"""The tokens from the root's child down to a node."""
Counts = tuple[int, ...]
"""A law in whole numbers: token i has `counts[i]` parts of their sum."""


class ExactTree(Tree):
    """A tree whose recorded rows are read as the rational numbers that they are."""

    def _law(self, law: Probs) -> Probs:
        return np.array([Fraction(number) for number in law.tolist()], dtype=object)


@frozen(eq=False)
class Instance:
    """Laws of a target and of its drafter after every path, and what is placed where."""

    vocab: int
    target: Callable[[Path], Counts]
    draft: Callable[[Path], Counts]
    placed: Callable[[Path, Path, Path], int]
    """The token to place under a path, beside these siblings, given all tokens of the tree so far; -1 for none."""
    exact: bool = True
    """Whether rules compute with Fractions, else with float64."""

    @staticmethod
    def random(vocab: int, seed: int, *, exact: bool = True, duplicates: bool = False) -> "Instance":
        """Make up laws with zeros, ties, certainties and agreement, and place any tokens at all."""

        def counts(who: str, path: Path) -> Counts:
            random = Random(f"{seed} {who} {path}")
            if who == "draft" and random.random() < 0.15:
                return target(path)
            row = [random.choice((0, 1, 1, 2, 3, 5, 8)) for _ in range(vocab)]
            row[random.randrange(vocab)] += 1
            return tuple(row)

        target = cache(lambda path: counts("target", path))
        draft = cache(lambda path: counts("draft", path))

        def placed(path: Path, siblings: Path, tokens: Path) -> int:
            options = [token for token in range(vocab) if duplicates or token not in siblings]
            return Random(f"{seed} placed {path} {tokens}").choice(options) if options else PADDING

        return Instance(vocab, target, draft, placed, exact)

    def p(self, path: Path) -> Probs:
        """Give the target's law after a path, in the instance's numbers, anew each time."""
        return _probabilities(self.target(path), self.exact).copy()

    def law(self, tree: Tree, row: int = 0) -> Law:
        """Give the target's law at the nodes of a tree."""
        return lambda node: self.p(path_tokens(tree, row, node))

    def start(self) -> Tree:
        """Start a tree with a root of its own."""
        root = Tree.root(torch.tensor([0]))
        return ExactTree.of(root.lists) if self.exact else root

    def rows(self, tree: Tree, parent: int) -> Float[Tensor, "1 N V"]:
        """Give the drafter's law at one node of a tree, to be drawn from."""
        row = torch.tensor(self.draft(path_tokens(tree, 0, parent)))
        rows = torch.zeros(*tree.tokens.shape, self.vocab, dtype=torch.float32 if self.exact else torch.float64)
        rows[0, parent] = row if self.exact else row.double() / row.sum()
        return rows

    def grow(self, shape: Shape, dice: Dice) -> Tree:
        """Grow a tree of this shape; what cannot be drawn is left out, and what would hang under it."""
        tree, names = self.start(), {0: 0}
        for index, (parent, drawn) in enumerate(zip(shape.parents, shape.drawn, strict=True), start=1):
            if parent not in names:
                continue
            size = tree.tokens.shape[1]
            tree = self.draw(tree, names[parent], dice) if drawn else self.place(tree, names[parent])
            if tree.tokens.shape[1] > size:
                names[index] = size
        return tree

    def draw(self, tree: Tree, parent: int, dice: Dice, count: int = 1) -> Tree:
        """Draw children under one node."""
        widths = torch.zeros_like(tree.tokens)
        widths[0, parent] = count
        return tree.draw(widths, self.rows(tree, parent), [dice])

    def place(self, tree: Tree, parent: int, token: int | None = None) -> Tree:
        """Place a child under one node: the instance's own choice, or this token."""
        if token is None:
            tokens = tree.tokens[0].tolist()
            siblings = tuple(tokens[child] for child in tree.children(0)[parent])
            token = self.placed(path_tokens(tree, 0, parent), siblings, tuple(tokens))
        return tree.place(torch.tensor([[token]]), torch.tensor([[parent]]), torch.zeros(1, 1))


def path_tokens(tree: Tree, row: int, node: int) -> Path:
    """Read the tokens from the root's child down to a node."""
    tokens = tree.tokens[row].tolist()
    return tuple(tokens[step] for step in tree.path(row, node))


@cache
def _probabilities(counts: Counts, exact: bool) -> Probs:
    if exact:
        return np.array([Fraction(count, sum(counts)) for count in counts], dtype=object)
    return np.array(counts, dtype=np.float64) / sum(counts)
