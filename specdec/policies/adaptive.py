"""OPT-Tree: go deeper for as long as it is worth it."""

from math import exp

import torch
from attrs import field, frozen
from jaxtyping import Bool, Int
from torch import Tensor

from specdec.interfaces import TreePolicy
from specdec.policies.checks import above, at_least
from specdec.policies.dynamic import likeliest, marked
from specdec.tree import Tree


@frozen
class Adaptive(TreePolicy):
    """Grow levels until the last one adds less than `gain` to the tokens expected of the `size` likeliest nodes.

    The expectation is the sum of path probabilities (Wang et al., OPT-Tree, arXiv 2406.17276). Every
    node of a level that is among the `size` likeliest gets `width` children; `depth` is a limit.
    """

    size: int = field(default=16, validator=at_least(1))
    depth: int = field(default=10, validator=at_least(1))
    width: int = field(default=4, validator=at_least(1))
    gain: float = field(default=0.15, validator=at_least(0))
    sharpness: float = field(default=1.0, validator=above(0))

    def widths(self, tree: Tree) -> Int[Tensor, "B N"]:
        if tree.depth >= self.depth:
            return torch.zeros_like(tree.tokens)
        nodes, count = tree.lists, self.size + 1
        best = likeliest(nodes.scores, nodes.real, count)
        above = [
            [node for node in row if depths[node] < tree.depth]
            for row, depths in zip(nodes.real, nodes.depths, strict=True)
        ]
        rows = zip(best, likeliest(nodes.scores, above, count), nodes.deepest, nodes.scores, strict=True)
        return marked(nodes.size, [self._growing(*row) for row in rows], self.width)

    def keep(self, tree: Tree) -> Bool[Tensor, "B N"]:
        nodes = tree.lists
        return marked(nodes.size, likeliest(nodes.scores, nodes.real, self.size + 1), True)

    def _growing(self, best: list[int], before: list[int], deepest: list[int], scores: list[float]) -> list[int]:
        """List the nodes of a row's last level that get children, if those of the level itself were worth it."""
        gain = sum(exp(scores[node]) for node in best) - sum(exp(scores[node]) for node in before)
        root_alone = not before  # which has added the bonus token alone
        return [node for node in deepest if node in best] if gain > self.gain or root_alone else []
