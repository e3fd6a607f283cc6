"""The walk down each tree, for as long as it holds what won the race.

Exact: there are only comparisons of whole numbers. It visits the nodes that `specdec.rules.Match` visits, in its
order, and of children with the same token the first.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Int
from torch import Tensor

from specdec_cuda.jit import Count, Ints, Longs, kernel
from specdec_cuda.kernels.keys import LEAST, is_finite, token_of


def walk(winners: Int[Tensor, "R N H"], tokens: Int[Tensor, "R N"], parents: Int[Tensor, "R N"]) -> Int[Tensor, "R 3"]:
    """Follow the winners to where the paths end: see `specdec_cuda.ending`.

    A row without a root decides nothing; one with a winner that is not finite ends there and says so.
    """
    rows, nodes, heats = winners.shape
    endings = torch.empty(rows, 3, dtype=torch.int32, device=winners.device)
    blocks = {"node_block": triton.next_power_of_2(nodes), "heat_block": triton.next_power_of_2(heats)}
    walk_kernel[(rows,)](winners, tokens, parents, endings, nodes, heats, **blocks)
    return endings


@kernel(warps=1)
def walk_kernel(
    winners: Longs,
    tokens: Ints,
    parents: Ints,
    endings: Ints,
    nodes: Count,
    heats: Count,
    node_block: tl.constexpr = 64,
    heat_block: tl.constexpr = 64,
) -> None:
    """On a grid of rows."""
    row = tl.program_id(0)
    names, heat = tl.arange(0, node_block), tl.arange(0, heat_block)
    of_tree = row * nodes + names
    token = tl.load(tokens + of_tree, mask=names < nodes, other=-1)
    parent = tl.load(parents + of_tree, mask=names < nodes, other=-1)

    last, bonus, failed, node = row * 0 - 1, row * 0 - 1, row * 0, row * 0
    going = tl.load(tokens + row * nodes) >= 0
    while going:
        keys = tl.load(winners + (row * nodes + node) * heats + heat, mask=heat < heats, other=LEAST)
        key = tl.max(keys, 0)
        last, bonus = node, token_of(key)
        node = tl.min(tl.where((parent == last) & (token == bonus), names, nodes), 0)
        failed = tl.where(is_finite(key), 0, 1)
        going = (node < nodes) & (failed == 0)

    tl.store(endings + row * 3, last)
    tl.store(endings + row * 3 + 1, bonus)
    tl.store(endings + row * 3 + 2, failed)
