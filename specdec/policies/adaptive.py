"""OPT-Tree: go deeper for as long as it is worth it."""

import numpy as np
import torch
from attrs import field, frozen
from jaxtyping import Bool, Int
from torch import Tensor

from specdec.interfaces import TreePolicy
from specdec.policies.checks import above, at_least
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
    sharpness: float = field(default=1.0, validator=above(0))

    def widths(self, tree: Tree) -> Int[Tensor, "B N"]:
        scores, real, deepest = tree.arrays.scores, tree.arrays.real, tree.arrays.deepest
        best = likeliest(scores, real, self.size + 1)
        before = likeliest(scores, real & ~deepest, self.size + 1)
        chances = np.exp(scores)
        worth = (chances * best).sum(1) - (chances * before).sum(1) > self.gain  # tokens expected, the bonus included
        grows = deepest & best & (worth | (tree.depth == 0))[:, None]
        return torch.from_numpy(grows * self.width * (tree.depth < self.depth))

    def keep(self, tree: Tree) -> Bool[Tensor, "B N"]:
        return torch.from_numpy(likeliest(tree.arrays.scores, tree.arrays.real, self.size + 1))
