"""The race after every node of a tree: which token has the largest score, noise included.

Exact: a token's time is `logit + temperature * noise`, one product and one sum, each rounded by itself as in
`specdec.rules.Match`. Nothing is divided, no probability is computed, and the largest of numbers does not depend on
the order in which they are compared; of equal ones the lowest token wins, as in `Tensor.max`. Numbers that are not
finite win, so that whoever looks at the winner sees them: NaN counts as infinity.

The vocabulary runs in heats, whose winners are left for `walk`. Nodes of the same depth share their noise, which is
made once for all of them.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from specdec import Tree
from specdec_cuda.jit import Count, Floats, Ints, Logits, Longs, Size, Stride, kernel
from specdec_cuda.kernels.keys import LEAST, key_of
from specdec_cuda.kernels.noise import gumbels, words

BLOCK = tl.constexpr(2048)
"""Tokens of a heat."""


def levels(trees: Sequence[Tree]) -> tuple[list[list[int]], list[list[int]]]:
    """List the nodes of each tree by depth, and where in this list each depth begins and the last one ends."""
    size, depths = max(map(len, trees)), range(max(tree.depth for tree in trees) + 2)
    order = [sorted(range(len(tree)), key=tree.depths.__getitem__) for tree in trees]
    starts = [[sum(one < depth for one in tree.depths) for depth in depths] for tree in trees]
    return [[*nodes, *[0] * (size - len(nodes))] for nodes in order], starts


def race(
    logits: Float[Tensor, "R N V"],
    seeds: Int[Tensor, " R"],
    temperatures: Float[Tensor, " R"],
    lengths: Int[Tensor, " R"],
    order: Int[Tensor, "R N"],
    starts: Int[Tensor, "R L"],
    block: int = int(BLOCK),
) -> Int[Tensor, "R N H"]:
    """Run the heats after each node, and give the keys of their winners; `order` and `starts` are those of `levels`."""
    rows, nodes, size = logits.shape
    heats = triton.cdiv(size, block)
    winners = torch.empty(rows, nodes, heats, dtype=torch.int64, device=logits.device)
    race_kernel[heats, starts.shape[1] - 1, rows](
        logits, seeds, temperatures, lengths, order, starts, winners, size, *logits.stride()[:2], nodes, block=block
    )
    return winners


@kernel(warps=4)
def race_kernel(
    logits: Logits,
    seeds: Longs,
    temperatures: Floats,
    lengths: Longs,
    order: Ints,
    starts: Ints,
    winners: Longs,
    size: Size,
    row_stride: Stride,
    node_stride: Stride,
    nodes: Count,
    block: tl.constexpr = BLOCK,
) -> None:
    """On a grid of heats, depths and rows."""
    heat, depth, row = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    place = starts + row * (tl.num_programs(1) + 1) + depth
    begin, end = tl.load(place), tl.load(place + 1)
    temperature = tl.load(temperatures + row)
    token = heat * block + tl.arange(0, block)
    noise = tl.zeros([block], tl.float32)
    if (temperature > 0) & (begin < end):
        position = tl.load(lengths + row) + depth
        noise = gumbels(words(tl.load(seeds + row), position, 0, 0, heat * block, block)) * temperature
    for index in range(begin, end):
        node = tl.load(order + row * nodes + index)
        of_node = logits + row.to(tl.int64) * row_stride + node.to(tl.int64) * node_stride
        logit = tl.load(of_node + token, mask=token < size).to(tl.float32)
        score = logit + noise
        score = tl.where(score == score, score, float("inf"))
        key = tl.max(tl.where(token < size, key_of(score, token), LEAST), 0)
        tl.store(winners + (row * nodes + node) * tl.num_programs(0) + heat, key)
