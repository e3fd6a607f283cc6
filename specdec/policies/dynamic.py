"""EAGLE-2's tree: expand where the drafter is confident, verify what is likeliest."""

import numpy as np
import torch
from attrs import field, frozen
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from specdec.interfaces import TreePolicy
from specdec.policies.checks import above, at_least
from specdec.tree import Tree

Rows = list[list[int]]
"""Some nodes of each row."""


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
        nodes = tree.lists
        return marked(nodes.size, likeliest(nodes.scores, nodes.deepest, self.width), self.width)

    def keep(self, tree: Tree) -> Bool[Tensor, "B N"]:
        nodes = tree.lists
        return marked(nodes.size, likeliest(nodes.scores, nodes.real, self.size + 1), True)


def likeliest(scores: list[list[float]], among: Rows, count: int) -> Rows:
    """List the `count` nodes of each row with the best scores, earlier ones first where these tie."""
    return [
        sorted(row, key=values.__getitem__, reverse=True)[:count] if len(row) > count else row
        for row, values in zip(among, scores, strict=True)
    ]


def marked(size: int, chosen: Rows, mark: int) -> Shaped[Tensor, "B N"]:
    """Put a mark at some of the `size` nodes of each row; True makes the mask of these."""
    marks = [[type(mark)()] * size for _ in chosen]
    for row, places in zip(marks, chosen, strict=True):
        for place in places:
            row[place] = mark
    return torch.from_numpy(np.array(marks))
