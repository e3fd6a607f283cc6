"""From lists to tensors, where a model reads them."""

from collections.abc import Sequence

import numpy as np
import torch
from attrs import frozen
from jaxtyping import Bool, Int
from torch import Tensor

from specdec.tree import Tree

__all__ = ["PADDING", "Packed", "bits", "pack", "pad"]

PADDING = -1
"""Fills the places of a tensor that hold no token and no node; never a legal token id."""


def pad(rows: Sequence[Sequence[int]], fill: int = PADDING) -> Int[Tensor, "R M"]:
    """Make a tensor of lists of numbers, filled up to the longest."""
    longest = max(map(len, rows), default=0)
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows], dtype=torch.int64)


def bits(rows: Sequence[Sequence[int]], size: int) -> Bool[Tensor, "R M C"]:
    """Read each number of a rectangle as `size` booleans, its lowest bit first."""
    width = (size + 7) // 8
    data = b"".join(number.to_bytes(width, "little") for row in rows for number in row)
    shaped = np.frombuffer(data, np.uint8).reshape(len(rows), -1, width)
    return torch.from_numpy(np.unpackbits(shaped, axis=-1, count=size, bitorder="little").view(bool))


@frozen(eq=False)
class Packed:
    """What a model reads of trees; padding has depth 0, and sees itself alone."""

    tokens: Int[Tensor, "R N"]
    depths: Int[Tensor, "R N"]
    ancestors: Bool[Tensor, "R N N"]
    """Whether node m is node n or above it, at [n, m]."""


def pack(trees: Sequence[Tree]) -> Packed:
    """Lay trees out as the rows of tensors."""
    size = max(map(len, trees))
    ancestors = [tree.ancestors + [1 << node for node in range(len(tree), size)] for tree in trees]
    return Packed(pad([tree.tokens for tree in trees]), pad([tree.depths for tree in trees], 0), bits(ancestors, size))
