"""Targets and drafters small enough to be enumerated, whose probabilities differ after every path."""

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from random import Random

import numpy as np
from attrs import frozen

from specdec.chance import Dice, Probs
from specdec.interfaces import TargetProbs
from specdec.testing.shapes import Shape
from specdec.tree import Tree

Path = tuple[int, ...]
"""The tokens from the root's child down to a node."""
Counts = tuple[int, ...]
"""Probabilities in whole numbers: token i has `counts[i]` parts of their sum."""


@frozen(eq=False)
class Instance:
    """Probabilities of a target and of its drafter after every path, and what is placed where."""

    vocab: int
    target: Callable[[Path], Counts]
    draft: Callable[[Path], Counts]
    placed: Callable[[Path, Path, Path], int | None]
    """The token to place under a path, beside these siblings, given all tokens of the tree so far; None for none."""
    exact: bool = True
    """Whether rules compute with Fractions, else with float64."""

    @staticmethod
    def random(vocab: int, seed: int, *, exact: bool = True, duplicates: bool = False) -> "Instance":
        """Make up probabilities with zeros, ties, certainties and agreement, and place any tokens at all."""

        def counts(who: str, path: Path) -> Counts:
            random = Random(f"{seed} {who} {path}")
            if who == "draft" and random.random() < 0.15:
                return target(path)
            row = [random.choice((0, 1, 1, 2, 3, 5, 8)) for _ in range(vocab)]
            row[random.randrange(vocab)] += 1
            return tuple(row)

        target = cache(lambda path: counts("target", path))
        draft = cache(lambda path: counts("draft", path))

        def placed(path: Path, siblings: Path, tokens: Path) -> int | None:
            options = [token for token in range(vocab) if duplicates or token not in siblings]
            return Random(f"{seed} placed {path} {tokens}").choice(options) if options else None

        return Instance(vocab, target, draft, placed, exact)

    def p(self, path: Path) -> Probs:
        """Give the target's probabilities after a path, in the instance's numbers: a new array each time."""
        return _probs(self.target(path), self.exact).copy()

    def q(self, path: Path) -> Probs:
        """Give the drafter's probabilities after a path."""
        return _probs(self.draft(path), self.exact).copy()

    def probs(self, tree: Tree) -> TargetProbs:
        """Give the target's probabilities after the nodes of a tree."""
        return lambda node: self.p(path_tokens(tree, node))

    def grow(self, shape: Shape, dice: Dice) -> Tree:
        """Grow a tree of this shape; what cannot be drawn is left out, and what would hang under it."""
        tree, names = Tree.root(0), {0: 0}
        for index, (parent, drawn) in enumerate(zip(shape.parents, shape.drawn, strict=True), start=1):
            if parent not in names:
                continue
            size = len(tree)
            tree = self.draw(tree, names[parent], dice) if drawn else self.place(tree, names[parent])
            if len(tree) > size:
                names[index] = size
        return tree

    def draw(self, tree: Tree, parent: int, dice: Dice, count: int = 1) -> Tree:
        """Draw children under one node."""
        return tree.draw(parent, count, self.q(path_tokens(tree, parent)), dice)

    def place(self, tree: Tree, parent: int) -> Tree:
        """Place a child of the instance's choice under one node, if it has one."""
        siblings = tuple(tree.tokens[child] for child in tree.children[parent])
        token = self.placed(path_tokens(tree, parent), siblings, tuple(tree.tokens))
        return tree if token is None else tree.place([(token, parent, 0.0)])


def path_tokens(tree: Tree, node: int) -> Path:
    """Read the tokens from the root's child down to a node."""
    return tuple(tree.tokens[step] for step in tree.path(node))


@cache
def _probs(counts: Counts, exact: bool) -> Probs:
    if exact:
        return np.array([Fraction(count) / Fraction(sum(counts)) for count in counts], dtype=object)
    return np.array(counts, dtype=np.float64) / sum(counts)
