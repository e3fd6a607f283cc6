"""Who wins the race among the tokens that top-k, top-p and min-p keep.

They keep an upper part of the tokens, in the order of `logit / temperature`, of equal ones the lowest id first: what
has k - 1 others or fewer above it, ties with the k-th included; then what has less than p of the remaining probability
above it; then what is at least m times as likely as the likeliest. So nothing is sorted. If the winner of the race is
kept it has won among the kept. If it is not, no token below it is kept either, and there is a race among those above;
and so on. The likeliest is always kept.

Exact: the order is that of `specdec.sampling.scores`, quotients rounded as IEEE 754 says, and the noise is that of the
race. Probabilities, for top-p and min-p, are weights of `exp`, which are the same on every machine and exact in their
sum, so the same tokens are kept everywhere. `scores` adds floats: it may keep one token more or less where a sum is as
near to p as it rounds.
"""

import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from specdec_cuda.jit import Count, Doubles, Floats, Ints, Logits, Longs, Size, Stride, Value, device, kernel
from specdec_cuda.kernels.exp import exp, weight
from specdec_cuda.kernels.keys import FAILED, LEAST, is_finite, key_of, token_of
from specdec_cuda.kernels.kth import kth_largest
from specdec_cuda.kernels.noise import gumbels, words

BLOCK = tl.constexpr(2048)
"""Tokens that are read together."""


def settle(
    winners: Int[Tensor, "R N H"],
    logits: Float[Tensor, "R N V"],
    seeds: Int[Tensor, " R"],
    temperatures: Float[Tensor, " R"],
    lengths: Int[Tensor, " R"],
    depths: Int[Tensor, "R N"],
    top_k: Int[Tensor, " R"],
    top_p: Float[Tensor, " R"],
    min_p: Float[Tensor, " R"],
    block: int = int(BLOCK),
) -> None:
    """Put others in the place of winners that are not kept.

    A row has no option that cuts if its `top_k` is V or more, its `top_p` 1 and its `min_p` 0. `depths` are negative
    for padding.
    """
    rows, nodes, heats = winners.shape
    settle_kernel[nodes, rows](
        winners,
        logits,
        seeds,
        temperatures,
        lengths,
        depths,
        top_k,
        top_p,
        min_p,
        logits.shape[2],
        *logits.stride()[:2],
        nodes,
        heats,
        block=block,
        heat_block=triton.next_power_of_2(heats),
    )


@kernel(warps=8)
def settle_kernel(
    winners: Longs,
    logits: Logits,
    seeds: Longs,
    temperatures: Floats,
    lengths: Longs,
    depths: Ints,
    top_k: Ints,
    top_p: Doubles,
    min_p: Floats,
    size: Size,
    row_stride: Stride,
    node_stride: Stride,
    nodes: Count,
    heats: Count,
    block: tl.constexpr = BLOCK,
    heat_block: tl.constexpr = 64,
) -> None:
    """On a grid of nodes and rows."""
    node, row = tl.program_id(0), tl.program_id(1)
    temperature, depth = tl.load(temperatures + row), tl.load(depths + row * nodes + node)
    k, p, m = tl.load(top_k + row), tl.load(top_p + row), tl.load(min_p + row)
    heat = tl.arange(0, heat_block)
    keys = winners + (row * nodes + node) * heats + heat
    key = tl.max(tl.load(keys, mask=heat < heats, other=LEAST), 0)
    cuts = (k < size) | (p < 1) | (m > 0)
    if cuts & (temperature > 0) & (depth >= 0) & is_finite(key):
        of_node = logits + row.to(tl.int64) * row_stride + node.to(tl.int64) * node_stride
        seed, position = tl.load(seeds + row), tl.load(lengths + row) + depth
        top = tl.div_rn(_largest(of_node, size, block), temperature)
        floor = tl.full([], float("-inf"), tl.float32)
        if k < size:
            floor = tl.div_rn(kth_largest(of_node, k, size, block), temperature)
        total = _mass(of_node, temperature, top, floor, size, size, block)  # of all from the floor on
        going = (top < float("inf")) & (top > float("-inf"))
        key = tl.where(going, key, FAILED)
        while going:
            token = token_of(key)
            pivot = tl.div_rn(tl.load(of_node + token).to(tl.float32), temperature)
            above = _mass(of_node, temperature, top, pivot, token, size, block)
            kept = (pivot >= floor) & (exp(pivot - top) >= m)
            kept = kept & ((p >= 1) | (above.to(tl.float64) < p * total.to(tl.float64)))
            going = kept == 0
            if going:
                key = _best(of_node, temperature, pivot, token, seed, position, size, block)
        tl.store(keys, key, mask=heat < heats)


@device
def _largest(of_node: Value, size: Value, block: tl.constexpr) -> Value:
    """Find the largest logit."""
    largest = tl.full([], float("-inf"), tl.float32)
    for first in range(0, size, block):
        token = first + tl.arange(0, block)
        logit = tl.load(of_node + token, mask=token < size, other=float("-inf")).to(tl.float32)
        largest = tl.maximum(largest, tl.max(logit, 0))
    return largest


@device
def _mass(
    of_node: Value,
    temperature: Value,
    top: Value,
    pivot: Value,
    pivot_token: Value,
    size: Value,
    block: tl.constexpr,
) -> Value:
    """Add up the weights of what is above a token."""
    mass = tl.zeros([], tl.int64)
    for first in range(0, size, block):
        token = first + tl.arange(0, block)
        _, tempered, above = _compared(of_node, token, temperature, pivot, pivot_token, size)
        mass += tl.sum(tl.where(above, weight(tempered - top), 0), 0)
    return mass


@device
def _best(
    of_node: Value,
    temperature: Value,
    pivot: Value,
    pivot_token: Value,
    seed: Value,
    position: Value,
    size: Value,
    block: tl.constexpr,
) -> Value:
    """Race again among what is above a token; give the winner's key."""
    best = tl.full([], LEAST, tl.int64)
    for first in tl.range(0, size, block, disable_licm=True):  # or else what noise begins with lies in 40 registers
        token = first + tl.arange(0, block)
        logit, _, above = _compared(of_node, token, temperature, pivot, pivot_token, size)
        if tl.max(above.to(tl.int32), 0) > 0:
            score = logit + gumbels(words(seed, position, 0, 0, first, block)) * temperature
            best = tl.maximum(best, tl.max(tl.where(above, key_of(score, token), LEAST), 0))
    return best


@device
def _compared(of_node: Value, token: Value, temperature: Value, pivot: Value, pivot_token: Value, size: Value) -> Value:
    """Give logits, their quotients by the temperature, and whether these are above a token's."""
    logit = tl.load(of_node + token, mask=token < size, other=float("-inf")).to(tl.float32)
    tempered = tl.div_rn(logit, temperature)
    return logit, tempered, (tempered > pivot) | ((tempered == pivot) & (token < pivot_token))
