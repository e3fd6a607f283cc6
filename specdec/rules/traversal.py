"""Leaves first: what a branch rejects, its siblings and its parent may still accept."""

from typing import Any

from specdec.chance import Dice, Probs
from specdec.interfaces import Rule, TargetProbs, Walk
from specdec.rules.arithmetic import left_over, total
from specdec.tree import Tree


class Traversal(Rule):
    """Decide on a node only when all that hangs under it was rejected, by a coin that remembers the whole path.

    A node's subtree accepts with probability exactly its weight w: 1 for the root, `min(1, w p / q)` for a child,
    where q is 1 if the child was placed. On a chain this is block verification (Sun et al., arXiv 2403.10444), on a
    tree traversal verification (Weng et al., arXiv 2505.12398); exact for placed and drawn nodes in any mixture.
    """

    def walk(self, tree: Tree, probs: TargetProbs, dice: Dice) -> Walk:
        walk = _Visit(tree, probs, dice).subtree(0, 1)
        if walk is None:
            raise RuntimeError("the root has weight one, so it accepts what its children do not")
        return walk


class _Visit:
    """One walk over one tree."""

    def __init__(self, tree: Tree, probs: TargetProbs, dice: Dice) -> None:
        self.tree, self.probs, self.dice = tree, probs, dice

    def subtree(self, node: int, w: Any) -> Walk | None:
        """Accept a path that starts at this node with probability `w`, or nothing."""
        p = self.probs(node)
        for child in self.tree.children[node]:
            token, q = self.tree.tokens[child], self.tree.proposal(child)
            weight = _ratio(w * p.item(token), 1 if q is None else q.item(token))
            walk = self.subtree(child, weight) if weight > 0 else None  # nobody asks what follows the impossible
            if walk is not None:
                return walk if node == 0 else Walk([node, *walk.path], walk.bonus)
            w, p = _rest(w, p, left_over(w * p, q, token))
        if node == 0 or self.dice.accept(w, 1, node):
            return Walk([node] if node else [], self.dice.residual(p, node))
        return None


def _ratio(numerator: Any, denominator: Any) -> Any:
    """Divide, up to one; numbers too small to divide by do no harm."""
    return 1 if denominator <= numerator else numerator / denominator


def _rest(w: Any, p: Probs, left: Probs) -> tuple[Any, Probs]:
    """Weight and probabilities of a node once a child has been rejected: `left` is what the child left of `w p`."""
    mass = total(left)
    if mass > 0:
        return mass / (mass + (1 - w)), left / mass  # not mass + 1 - w, which loses a small mass next to one
    return (w if w == 1 else 0), p  # of weight one nothing can be rejected but by rounding
