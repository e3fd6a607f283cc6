"""OPT-Tree: go deeper for as long as it is worth it."""

from attrs import field, frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor

from specdec.interfaces import TreePolicy
from specdec.policies.checks import at_least
from specdec.policies.dynamic import likeliest
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

    def widths(self, tree: Tree) -> Int[Tensor, "B N"]:
        last = tree.depths.max()
        worth = self._expected(tree, last) - self._expected(tree, last - 1) > self.gain
        level = tree.deepest & self.keep(tree) & (tree.depths < self.depth) & (worth | (last == 0))[:, None]
        return level * self.width

    def keep(self, tree: Tree) -> Bool[Tensor, "B N"]:
        return likeliest(tree.scores, tree.nodes, self.size + 1)

    def _expected(self, tree: Tree, depth: Tensor) -> Float[Tensor, " B"]:
        """Tokens expected of the best nodes no deeper than this, the one after the path included."""
        kept = likeliest(tree.scores, tree.nodes & (tree.depths <= depth), self.size + 1)
        return (tree.scores.exp() * kept).sum(1)
