"""One token after the other."""

import torch
from attrs import field, frozen
from jaxtyping import Int
from torch import Tensor

from specdec.interfaces import TreePolicy
from specdec.policies.checks import at_least
from specdec.tree import Tree


@frozen
class Chain(TreePolicy):
    """A single path of `length` tokens, drawn if `sampled`, else the likeliest."""

    length: int = field(default=4, validator=at_least(1))
    sampled: bool = False

    def widths(self, tree: Tree) -> Int[Tensor, "B N"]:
        return torch.from_numpy(tree.arrays.deepest * int(tree.depth < self.length))
