"""Traversal of each tree, leaves first.

Exact but for rounding, for any mixture of placed and drawn nodes: it visits the nodes that `specdec.rules.Traversal`
visits, in its order, with the same weights and coins, but for sums of probabilities, which may differ in the last bits
of double precision: see `residual`. A node of weight zero is rejected without a look at its other children, for all of
them have weight zero.
"""

import triton.language as tl

from specdec_cuda.jit import Count, Floats, Ints, Longs, Size, Value, device, kernel
from specdec_cuda.kernels.coins import accepted
from specdec_cuda.kernels.residual import BLOCK, Proposals, drafted, end_at, next_child, odds, take_out, unusable


@kernel(warps=16)
def traversal_kernel(
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
    weights = tl.zeros([node_block], tl.float64)  # of the nodes above the present one
    sums = tl.zeros([node_block], tl.float32)  # by which what is left after each of them is to be divided

    one = tl.full([], 1.0, tl.float64)
    node, last, failed = row * 0, row * 0, row * 0
    w, mass = one, one.to(tl.float32)
    there = tl.load(tokens + tree) >= 0
    going = there
    if there:
        failed = unusable(probs + tree.to(tl.int64) * size)
        going = failed == 0
    while going:
        child = next_child(parent, names, node, last, nodes)
        rejected = row * 0
        if (child < nodes) & (w > 0):
            token, proposal, some = drafted(tokens, drawn, proposals, known, tree + child)
            p, q = odds(probs + (tree + node).to(tl.int64) * size, mass, token, proposal, some)
            weight = tl.where(q <= w * p, 1.0, w * p / q)
            if weight > 0:
                weights = tl.where(names == node, w, weights)
                sums = tl.where(names == node, mass, sums)
                node, last = child, child
                w, mass = weight, one.to(tl.float32)
                failed = unusable(probs + (tree + node).to(tl.int64) * size)
                going = failed == 0
            else:
                rejected = child
        else:
            going = (node > 0) & (accepted(tl.load(coins + tree + node), w, one) == 0)
            if going:
                rejected = node
                node = tl.load(parents + tree + node)
                w = tl.sum(tl.where(names == node, weights, 0.0), 0)
                mass = tl.sum(tl.where(names == node, sums, 0.0), 0)
        if rejected > 0:
            token, proposal, some = drafted(tokens, drawn, proposals, known, tree + rejected)
            of_node = probs + (tree + node).to(tl.int64) * size
            left = take_out(of_node, mass, w.to(tl.float32), token, proposal, some, size, block)
            w, mass, failed = _rest(w, left)
            going = failed == 0
            last = rejected

    tl.store(masses + row, mass)
    end_at(endings + row * 3, tl.where(there, node, -1), failed)


@device
def _rest(w: Value, left: Value) -> Value:
    """Give the weight of a node whose child was rejected, what is left of it, and whether rounding left nothing."""
    failed = tl.where((left > 0) | (w < 1), 0, 1)
    return left / tl.where(left > 0, left + (1.0 - w), 1.0), left.to(tl.float32), failed
