"""EAGLE-2's tree: expand where the drafter is confident, verify what is likeliest."""

import numpy as np
import torch
from attrs import field, frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor

from specdec.interfaces import TreePolicy
from specdec.nodes import Array
from specdec.policies.checks import above, at_least
from specdec.tree import Tree


@frozen
class Dynamic(TreePolicy):
    """Expand the `width` likeliest nodes of each level by `width` children, keep the `size` likeliest nodes of all.

    Likely means by the probability of the whole path; ties go to the shallower node, then to the
    earlier one (Li et al., EAGLE-2, arXiv 2406.16858, section 4). `depth` counts levels and `size`
    drafted nodes: EAGLE's own `depth=d, total_tokens=m` is `depth=d+1, size=m-1` here, MoA's is
    `depth=d-1, size=m`.

    EAGLE-2 takes the drafter's law as it is, `sharpness=1`. More makes trees deeper and narrower.
    """

    depth: int = field(default=6, validator=at_least(1))
    width: int = field(default=8, validator=at_least(1))
    size: int = field(default=62, validator=at_least(1))
    sharpness: float = field(default=1.0, validator=above(0))

    def widths(self, tree: Tree) -> Int[Tensor, "B N"]:
        if tree.depth >= self.depth:
            return torch.zeros_like(tree.tokens)
        return torch.from_numpy(likeliest(tree.arrays.scores, tree.arrays.deepest, self.width) * self.width)

    def keep(self, tree: Tree) -> Bool[Tensor, "B N"]:
        return torch.from_numpy(likeliest(tree.arrays.scores, tree.arrays.real, self.size + 1))


def likeliest(scores: Float[Array, "B N"], among: Bool[Array, "B N"], count: int) -> Bool[Array, "B N"]:
    """Mark the nodes of each row with the `count` best scores, earlier ones first where these tie."""
    if among.shape[1] <= count or among.sum(1).max() <= count:
        return among
    order = np.where(among, -scores, np.inf).argsort(1, kind="stable")[:, :count]
    marked = np.zeros(among.shape, bool)
    marked[np.arange(len(order))[:, None], order] = True
    return marked & among
