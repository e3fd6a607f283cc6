"""Sample the target, follow the tree."""

from collections.abc import Callable

from specdec.chance import Dice
from specdec.interfaces import Rule, TargetProbs, Walk
from specdec.tree import Tree

__all__ = ["Match"]


class Match(Rule):
    """Go down the tree for as long as it holds what the target itself says.

    The target's noise depends on seed and position alone, so the output is the same for every tree, and
    for none: exact whatever the tree's origin, and optimal for placed ones (Daliri, Musco and Suresh,
    arXiv 2408.07978, carry the idea of shared noise).
    """

    def walk(self, tree: Tree, probs: TargetProbs, dice: Dice) -> Walk:
        return follow(tree, lambda node: dice.target(probs(node), tree.depths[node]))


def follow(tree: Tree, choose: Callable[[int], int]) -> Walk:
    """Go down the tree by what the target chooses after each node."""
    path, node = list[int](), 0
    while True:
        token = choose(node)
        node = next((child for child in tree.children[node] if tree.tokens[child] == token), 0)
        if node == 0:
            return Walk(path, token)
        path.append(node)
