"""Recursive rejection sampling down each tree.

Exact but for rounding, for any mixture of placed and drawn nodes: it tries the children that `specdec.rules.Rejection`
tries, in its order, each by the same coin against the same numbers, but for sums of probabilities, which may differ in
the last bits of double precision: see `residual`. One program walks down one tree, since each decision waits for the
one before.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from specdec_cuda.jit import Count, Floats, Ints, Longs, Size, kernel
from specdec_cuda.kernels.coins import accepted
from specdec_cuda.kernels.residual import BLOCK, Proposals, drafted, next_child, odds, take_out, unusable


def rejection(
    probs: Float[Tensor, "R N V"],
    proposals: Float[Tensor, "K Q"],
    drawn: Int[Tensor, "R N"],
    coins: Int[Tensor, "R N"],
    tokens: Int[Tensor, "R N"],
    parents: Int[Tensor, "R N"],
    depth: int,
    block: int = int(BLOCK),
) -> tuple[Int[Tensor, "R W"], Float[Tensor, " R"]]:
    """Decide which path of each tree is accepted; the token after it is left to `coins.pick`.

    `probs` are the target's after each node, NaN where it has none. `drawn` says in which row of `proposals` is what a
    node was drawn from; -1 for placed nodes.

    Returns the outcome, as in `specdec_cuda.outcome`, and by what `probs` after the last node of each path are to be
    divided: what rejected children used up is taken out of them. A row fails at a node without probabilities, and where
    rounding leaves nothing over.
    """
    rows, nodes, size = probs.shape
    outcome = torch.full((rows, 2 * (depth + 1) + 2), -1, dtype=torch.int32, device=probs.device)
    masses = torch.empty(rows, device=probs.device)
    rejection_kernel[(rows,)](
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
def rejection_kernel(
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
    path = outcome + row * (2 * longest + 2)
    decided = path + longest

    node, last, count, failed = row * 0, row * 0, row * 0, row * 0
    mass = tl.full([], 1.0, tl.float32)
    going = tl.load(tokens + tree) >= 0
    while going:
        of_node = probs + (tree + node).to(tl.int64) * size
        if node == last:  # none of its children has been tried
            tl.store(path + count, node)
            count += 1
            mass = tl.full([], 1.0, tl.float32)
            failed = unusable(of_node)
        last = next_child(parent, names, node, last, nodes)
        going = (last < nodes) & (failed == 0)
        if going:
            token, proposal, some = drafted(tokens, drawn, proposals, known, tree + last)
            p, q = odds(of_node, mass, token, proposal, some)
            if accepted(tl.load(coins + tree + last), p, q):
                tl.store(decided + count - 1, token)
                node = last
            else:
                left = take_out(of_node, mass, 1.0, token, proposal, some, size, block)
                mass = left.to(tl.float32)
                failed = tl.where(left > 0, 0, 1)
                going = failed == 0
    tl.store(masses + row, mass)
    tl.store(decided + longest, count)
    tl.store(decided + longest + 1, failed)
