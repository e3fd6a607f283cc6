"""From lists to tensors, where a model reads them."""

from collections.abc import Sequence

import torch
from attrs import frozen
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import pad as pad_columns

from specdec.tree import Tree

PADDING = -1
"""Fills the places of a tensor that hold no token and no node; never a legal token id."""


def pad(rows: Sequence[Sequence[int]], fill: int = PADDING) -> Int[Tensor, "R M"]:
    """Make a tensor of lists of numbers, filled up to the longest."""
    longest = max(map(len, rows), default=0)
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows], dtype=torch.int64)


def bits(rows: Sequence[Sequence[int]], size: int) -> Bool[Tensor, "R M C"]:
    """Read each number of a rectangle as `size` booleans, its lowest bit first."""
    width = size // 8 + 1  # bytes, at least one
    data = bytearray(b"".join(number.to_bytes(width, "little") for row in rows for number in row))
    packed = torch.frombuffer(data, dtype=torch.uint8).view(len(rows), -1, width, 1)
    places = 2 ** torch.arange(8, dtype=torch.uint8)
    return packed.bitwise_and(places).bool().flatten(2)[..., :size]


@frozen(eq=False)
class Packed:
    """What a model reads of trees; padding repeats the root's token, at depth 0, and sees itself alone."""

    tokens: Int[Tensor, "R N"]
    depths: Int[Tensor, "R N"]
    ancestors: Bool[Tensor, "R N N"]
    """Whether node m is node n or above it, at [n, m]."""


def pack(trees: Sequence[Tree]) -> Packed:
    """Lay trees out as the rows of tensors."""
    size = max(map(len, trees))
    tokens = [tree.tokens + tree.tokens[:1] * (size - len(tree)) for tree in trees]
    numbers = pad([*tokens, *(tree.depths for tree in trees)], 0).view(2, len(trees), size)
    ancestors = [tree.ancestors + [1 << node for node in range(len(tree), size)] for tree in trees]
    return Packed(numbers[0], numbers[1], bits(ancestors, size))


def pack_chains(chains: Sequence[Sequence[int]]) -> Packed:
    """Lay chains of tokens, each of at least one, out as `pack` does trees; padding sees what is before it."""
    size = max(map(len, chains))
    tokens = [[*chain, *[chain[0]] * (size - len(chain))] for chain in chains]
    numbers = pad([*tokens, *(range(len(chain)) for chain in chains)], 0).view(2, len(chains), size)
    return Packed(numbers[0], numbers[1], causal(size).expand(len(chains), -1, -1))


def widened(
    tokens: Int[Tensor, "R M"], depths: Int[Tensor, "R C"], visible: Bool[Tensor, "R M C"], more: int
) -> tuple[Int[Tensor, "R _"], Int[Tensor, "R _"], Bool[Tensor, "R _ _"]]:
    """Add nodes of padding after the others."""
    if more == 0:
        return tokens, depths, visible
    tokens, depths = pad_columns(tokens, (0, more), value=PADDING), pad_columns(depths, (0, more))
    visible = pad_columns(visible, (0, more, 0, more))
    visible[:, -more:, -more:] = torch.eye(more, dtype=torch.bool)
    return tokens, depths, visible


def causal(size: int, window: int | None = None, device: torch.device | str = "cpu") -> Bool[Tensor, "M M"]:
    """Let each of `size` tokens see itself and those before it, at most `window` in all."""
    mask = torch.ones(size, size, dtype=torch.bool, device=device).tril()
    return mask if window is None else mask.triu(1 - window)
