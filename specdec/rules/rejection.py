"""Recursive rejection sampling."""

import numpy as np

from specdec.chance import Dice, Weights
from specdec.interfaces import Law, Rule, Walk
from specdec.tree import Tree


class Rejection(Rule):
    """Try a node's children in turn, taking from the target's law what each rejection has used up.

    A placed child is accepted with probability p, a drawn one with p/q where q is what it was drawn from. Exact
    for any mixture of the two (Leviathan et al., arXiv 2211.17192; without replacement: Jeon et al.,
    arXiv 2402.14160, and Chen et al., arXiv 2402.12374).
    """

    def walk(self, tree: Tree, row: int, law: Law, dice: Dice) -> Walk:
        children, path, node = tree.children(row), list[int](), 0
        while True:
            accepted, p = self._try(tree, row, children[node], law(node), dice)
            if accepted is None:
                return Walk(path, dice.residual(p, node))
            node = accepted
            path.append(node)

    def _try(self, tree: Tree, row: int, children: list[int], p: Weights, dice: Dice) -> tuple[int | None, Weights]:
        """Give the child accepted, if any, and what is left of the target's law."""
        for child in children:
            token, q = int(tree.tokens[row, child]), tree.proposal(row, child)
            if dice.accept(p[token], 1 if q is None else q[token], child):
                return child, p
            p = _renormalised(_without(p, token) if q is None else np.maximum(p - q, 0), otherwise=p)
        return None, p


def _without(p: Weights, token: int) -> Weights:
    left = p.copy()
    left[token] = 0
    return left


def _renormalised(left: Weights, otherwise: Weights) -> Weights:
    """Scale to a sum of one. A sum of zero is rounding: it has probability zero, so nothing was used up."""
    total = left.sum()
    return left / total if total > 0 else otherwise
