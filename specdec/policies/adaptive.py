"""OPT-Tree: go deeper for as long as it is worth it."""

from collections.abc import Sequence
from math import exp

from attrs import field, frozen

from specdec.bounds import bounds
from specdec.interfaces import TreePolicy
from specdec.policies.dynamic import likeliest
from specdec.tree import Tree


@frozen
class Adaptive(TreePolicy):
    """Grow levels until the last one adds less than `gain` to the tokens expected of the `size` likeliest nodes.

    The expectation is the sum of path probabilities (Wang et al., OPT-Tree, arXiv 2406.17276). Every
    node of a level that is among the `size` likeliest gets `width` children; `depth` is a limit.
    """

    size: int = field(default=16, validator=bounds(1))
    depth: int = field(default=10, validator=bounds(1))
    width: int = field(default=4, validator=bounds(1))
    gain: float = field(default=0.15, validator=bounds(0))
    sharpness: float = field(default=1.0, validator=bounds(0, above=True))

    def widths(self, tree: Tree) -> dict[int, int]:
        if tree.depth >= self.depth or not self._gains(tree):
            return {}
        best = set(self.keep(tree))
        return {node: self.width for node in tree.leaves if node in best}

    def keep(self, tree: Tree) -> Sequence[int]:
        return likeliest(tree.scores, range(len(tree)), self.size + 1)

    def _gains(self, tree: Tree) -> bool:
        """Whether the last level was worth it; the root alone, which adds the bonus token, always is."""
        before = [node for node, depth in enumerate(tree.depths) if depth < tree.depth]
        gain = _expected(tree, self.keep(tree)) - _expected(tree, likeliest(tree.scores, before, self.size + 1))
        return not before or gain > self.gain


def _expected(tree: Tree, nodes: Sequence[int]) -> float:
    return sum((exp(tree.scores[node]) for node in nodes), 0.0)
