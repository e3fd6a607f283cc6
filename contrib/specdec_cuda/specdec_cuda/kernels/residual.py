"""What a rejected child leaves of the target's probabilities after its parent, in place, and how much that is.

Exact but for rounding: it does what `specdec.rules.arithmetic` does, number by number in its order. Differences are
rounded to single precision once, whatever precision the drafter's probabilities have. The sum is in double precision
and of one order on every machine: each place of a block adds up its own, and then neighbours are added in pairs. numpy
has another order, so that sums may differ in the last bits of double precision; then a coin falls on the other side if
it lies between the two, which happens to one of 2^50 or so, and the law is off by as little.

Sums are not divided by yet: whoever reads what is left divides by its mass, which spares a pass over the vocabulary.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from specdec_cuda.jit import Kernel, Parameter, Value, device

BLOCK = tl.constexpr(4096)
"""Tokens that are read together; sums depend on it, so it is the same for all."""


class Proposals(Parameter):
    """What drawn nodes were drawn from."""

    types = ("*fp32", "*fp64")


def decide(
    kernel: Kernel,
    probs: Float[Tensor, "R N V"],
    proposals: Float[Tensor, "K Q"],
    drawn: Int[Tensor, "R N"],
    coins: Int[Tensor, "R N"],
    tokens: Int[Tensor, "R N"],
    parents: Int[Tensor, "R N"],
    block: int = int(BLOCK),
) -> tuple[Int[Tensor, "R 3"], Float[Tensor, " R"]]:
    """Decide by a rule's kernel where the accepted path of each tree ends; the token after it is left to `coins.pick`.

    `probs` are the target's after each node, NaN where it has none. `drawn` says in which row of `proposals` is what a
    node was drawn from; -1 for placed nodes.

    Returns the endings, as in `specdec_cuda.ending`, and by what `probs` after these nodes are to be divided: what
    rejected children used up is taken out of them.
    """
    rows, nodes, size = probs.shape
    endings = torch.empty(rows, 3, dtype=torch.int32, device=probs.device)
    masses = torch.empty(rows, device=probs.device)
    trees, sizes = (probs, proposals, drawn, coins, tokens, parents), (size, proposals.shape[1], nodes)
    kernel[(rows,)](*trees, endings, masses, *sizes, node_block=triton.next_power_of_2(nodes), block=block)
    return endings, masses


@device
def drafted(tokens: Value, drawn: Value, proposals: Value, known: Value, node: Value) -> Value:
    """Give a node's token, its proposal, and how many tokens that knows: none if the node was placed."""
    place = tl.load(drawn + node)
    proposal = proposals + tl.maximum(place, 0).to(tl.int64) * known
    return tl.load(tokens + node), proposal, tl.where(place >= 0, known, 0)


@device
def odds(of_node: Value, mass: Value, token: Value, proposal: Value, known: Value) -> Value:
    """Give the probabilities of a child's token, the target's and that with which it was drawn, 1 if it was placed."""
    p = tl.div_rn(tl.load(of_node + token), mass)
    return p.to(tl.float64), tl.load(proposal + token, mask=token < known, other=1.0).to(tl.float64)


@device
def unusable(of_node: Value) -> Value:
    """Whether a node has no probabilities: 1 or 0."""
    first = tl.load(of_node)
    return tl.where(first == first, 0, 1)


@device
def take_out(
    of_node: Value,
    mass: Value,
    weight: Value,
    token: Value,
    proposal: Value,
    known: Value,
    size: Value,
    block: tl.constexpr,
) -> Value:
    """Replace probabilities x by what a child leaves of `weight * x / mass`, and sum it up.

    That is all but its token if it was placed, else what is more than its proposal.
    """
    tl.debug_barrier()  # whoever has read these numbers has done so
    sums = tl.zeros([block], tl.float64)
    gone = tl.where(known > 0, size, token)
    for first in range(0, size, block):
        place = first + tl.arange(0, block)
        x = tl.div_rn(tl.load(of_node + place, mask=place < size, other=0.0), mass) * weight
        q = tl.load(proposal + place, mask=place < known, other=0.0)
        left = tl.where(place == gone, 0.0, tl.maximum(x - q, 0.0).to(tl.float32))
        tl.store(of_node + place, left, mask=place < size)
        sums += left.to(tl.float64)
    tl.debug_barrier()  # and whoever reads them next, reads what is left
    return _added(sums, block)


@device
def _added(numbers: Value, count: tl.constexpr) -> Value:
    """Add numbers in pairs, and their sums in pairs, to the last."""
    half: tl.constexpr = count // 2
    pairs = tl.sum(tl.reshape(numbers, [half, 2]), 1)
    if half == 1:
        return tl.sum(pairs, 0)  # of one number
    else:
        return _added(pairs, half)


@device
def end_at(ending: Value, node: Value, failed: Value) -> None:
    """Write down where a path ends; the token after it is not known yet."""
    tl.store(ending, node)
    tl.store(ending + 1, -1)
    tl.store(ending + 2, failed)


@device
def next_child(parent: Value, names: Value, node: Value, last: Value, nodes: Value) -> Value:
    """Find the first child of a node that comes after another; `nodes` if there is none."""
    return tl.min(tl.where((parent == node) & (names > last), names, nodes), 0)
