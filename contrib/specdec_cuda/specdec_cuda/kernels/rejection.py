"""Recursive rejection sampling down each tree.

Exact but for rounding, for any mixture of placed and drawn nodes: it tries the children that `specdec.rules.Rejection`
tries, in its order, each by the same coin against the same numbers, but for sums of probabilities, which may differ in
the last bits of double precision: see `residual`. One program walks down one tree, since each decision waits for the
one before.
"""

import triton.language as tl

from specdec_cuda.jit import Count, Floats, Ints, Longs, Size, kernel
from specdec_cuda.kernels.coins import accepted
from specdec_cuda.kernels.residual import BLOCK, Proposals, drafted, end_at, next_child, odds, take_out, unusable


@kernel(warps=16)
def rejection_kernel(
    probs: Floats,
    proposals: Proposals,
    drawn: Ints,
    coins: Longs,
    tokens: Ints,
    parents: Ints,
    endings: Ints,
    masses: Floats,
    size: Size,
    known: Size,
    nodes: Count,
    node_block: tl.constexpr = 64,
    block: tl.constexpr = BLOCK,
) -> None:
    """On a grid of rows."""
    row = tl.program_id(0)
    tree, names = row * nodes, tl.arange(0, node_block)
    parent = tl.load(parents + tree + names, mask=names < nodes, other=-1)

    node, last, failed = row * 0, row * 0, row * 0
    mass = tl.full([], 1.0, tl.float32)
    there = tl.load(tokens + tree) >= 0
    going = there
    while going:
        of_node = probs + (tree + node).to(tl.int64) * size
        if node == last:  # none of its children has been tried
            mass = tl.full([], 1.0, tl.float32)
            failed = unusable(of_node)
        last = next_child(parent, names, node, last, nodes)
        going = (last < nodes) & (failed == 0)
        if going:
            token, proposal, some = drafted(tokens, drawn, proposals, known, tree + last)
            p, q = odds(of_node, mass, token, proposal, some)
            if accepted(tl.load(coins + tree + last), p, q):
                node = last
            else:
                left = take_out(of_node, mass, 1.0, token, proposal, some, size, block)
                mass = left.to(tl.float32)
                failed = tl.where(left > 0, 0, 1)
                going = failed == 0
    tl.store(masses + row, mass)
    end_at(endings + row * 3, tl.where(there, node, -1), failed)
