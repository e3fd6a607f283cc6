"""Traversal of each tree, leaves first.

Exact but for rounding, for any mixture of placed and drawn nodes: it visits the nodes that `specdec.rules.Traversal`
visits, in its order, with the same weights and coins, but for sums of probabilities, which may differ in the last bits
of double precision: see `residual`. A node of weight zero is rejected without a look at its other children, for all of
them have weight zero.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from specdec_cuda.jit import Count, Floats, Ints, Longs, Size, kernel
from specdec_cuda.kernels.coins import accepted
from specdec_cuda.kernels.residual import BLOCK, Proposals, drafted, next_child, odds, take_out, unusable


def traversal(
    probs: Float[Tensor, "R N V"],
    proposals: Float[Tensor, "K Q"],
    drawn: Int[Tensor, "R N"],
    coins: Int[Tensor, "R N"],
    tokens: Int[Tensor, "R N"],
    parents: Int[Tensor, "R N"],
    depth: int,
    block: int = int(BLOCK),
) -> tuple[Int[Tensor, "R W"], Float[Tensor, " R"]]:
    """Decide which path of each tree is accepted, of what `rejection` takes; it gives the same, and fails alike."""
    rows, nodes, size = probs.shape
    outcome = torch.full((rows, 2 * (depth + 1) + 2), -1, dtype=torch.int32, device=probs.device)
    masses = torch.empty(rows, device=probs.device)
    traversal_kernel[(rows,)](
        probs,
        proposals,
        drawn,
        coins,
        tokens,
        parents,
        outcome,
        masses,
        size,
        proposals.shape[1],
        nodes,
        depth + 1,
        node_block=triton.next_power_of_2(nodes),
        block=block,
    )
    return outcome, masses


@kernel(warps=16)
def traversal_kernel(
    probs: Floats,
    proposals: Proposals,
    drawn: Ints,
    coins: Longs,
    tokens: Ints,
    parents: Ints,
    outcome: Ints,
    masses: Floats,
    size: Size,
    known: Size,
    nodes: Count,
    longest: Count,
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
    node, last, level, failed = row * 0, row * 0, row * 0, row * 0
    w, mass = one, one.to(tl.float32)
    going = tl.load(tokens + tree) >= 0
    count = tl.where(going, 1, 0)
    if going:
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
                node, last, level = child, child, level + 1
                w, mass = weight, one.to(tl.float32)
                failed = unusable(probs + (tree + node).to(tl.int64) * size)
                going = failed == 0
            else:
                rejected = child
        else:
            going = (node > 0) & (accepted(tl.load(coins + tree + node), w, one) == 0)
            if going:
                rejected = node
                node, level = tl.load(parents + tree + node), level - 1
                w = tl.sum(tl.where(names == node, weights, 0.0), 0)
                mass = tl.sum(tl.where(names == node, sums, 0.0), 0)
        if rejected > 0:
            token, proposal, some = drafted(tokens, drawn, proposals, known, tree + rejected)
            of_node = probs + (tree + node).to(tl.int64) * size
            left = take_out(of_node, mass, w.to(tl.float32), token, proposal, some, size, block)
            failed = tl.where((left > 0) | (w < 1), 0, 1)
            going = failed == 0
            w = left / tl.where(left > 0, left + (1.0 - w), 1.0)
            mass = left.to(tl.float32)
            last = rejected

    tl.store(masses + row, mass)
    path = outcome + row * (2 * longest + 2)
    tl.store(path + 2 * longest, count + level)
    tl.store(path + 2 * longest + 1, failed)
    tl.store(path, count - 1)
    while level > 0:
        tl.store(path + level, node)
        tl.store(path + longest + level - 1, tl.load(tokens + tree + node))
        node, level = tl.load(parents + tree + node), level - 1
