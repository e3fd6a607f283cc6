"""Coins and races, bit for bit those of `specdec.chance.Keyed`.

A coin is a whole number of 53 bits: the first word of Philox4x64-10 under the key of a node, without its last 11 bits.
With u = coin / 2^53 it comes up true if u * of < accept: two products in double precision, of which the first is
exact, and a comparison.

A race is between the tokens that have weight: the largest `weight / E` wins, E the exponential noise of
`specdec.canonical`, and of equal ones the lowest token. It is one quotient of single precision, rounded as IEEE 754
says, and then there are only comparisons. The vocabulary runs in heats.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from specdec import Purpose
from specdec_cuda.jit import Count, Floats, Ints, Longs, Size, Value, device, kernel
from specdec_cuda.kernels.keys import LEAST, key_of, token_of
from specdec_cuda.kernels.noise import exponentials, philox, words

BLOCK = tl.constexpr(2048)
"""Tokens of a heat."""
ACCEPT = tl.constexpr(int(Purpose.ACCEPT))
RESIDUAL = tl.constexpr(int(Purpose.RESIDUAL))


def coins(seeds: Int[Tensor, " R"], lengths: Int[Tensor, " R"], nodes: int) -> Int[Tensor, "R N"]:
    """Toss a coin for each node of each row: what `Dice.accept` decides by."""
    tossed = torch.empty(len(seeds), nodes, dtype=torch.int64, device=seeds.device)
    coins_kernel[(len(seeds),)](seeds, lengths, tossed, nodes, block=triton.next_power_of_2(nodes))
    return tossed


def pick(
    probs: Float[Tensor, "R N V"],
    masses: Float[Tensor, " R"],
    endings: Int[Tensor, "R 3"],
    seeds: Int[Tensor, " R"],
    lengths: Int[Tensor, " R"],
    block: int = int(BLOCK),
) -> None:
    """Write down the token with which each path ends, as `Dice.residual` picks it.

    The `probs` to pick by are divided by the row's mass.
    """
    rows, nodes, size = probs.shape
    heats = triton.cdiv(size, block)
    winners = torch.empty(rows, heats, dtype=torch.int64, device=probs.device)
    pick_kernel[heats, rows](probs, masses, endings, seeds, lengths, winners, size, nodes, block=block)
    bonus_kernel[(rows,)](winners, endings, heats, heat_block=triton.next_power_of_2(heats))


@device
def accepted(coin: Value, accept: Value, of: Value) -> Value:
    """Whether a coin comes up true, as in `Keyed.coin`; `accept` and `of` are of double precision."""
    return coin.to(tl.float64) * 2.0**-53 * of < accept


@kernel(warps=1)
def coins_kernel(seeds: Longs, lengths: Longs, tossed: Longs, nodes: Count, block: tl.constexpr = 64) -> None:
    """On a grid of rows."""
    row, node = tl.program_id(0), tl.arange(0, block)
    none = tl.zeros([block], tl.uint64)
    seed, root = tl.load(seeds + row), tl.load(lengths + row) - 1
    key = none + seed.to(tl.uint64, bitcast=True), none + root.to(tl.uint64, bitcast=True)
    word, _, _, _ = philox(none + 1, node.to(tl.uint64), none + ACCEPT, none, key[0], key[1])
    tl.store(tossed + row * nodes + node, (word >> 11).to(tl.int64), mask=node < nodes)


@kernel(warps=4)
def pick_kernel(
    probs: Floats,
    masses: Floats,
    endings: Ints,
    seeds: Longs,
    lengths: Longs,
    winners: Longs,
    size: Size,
    nodes: Count,
    block: tl.constexpr = BLOCK,
) -> None:
    """On a grid of heats and rows."""
    heat, row = tl.program_id(0), tl.program_id(1)
    node = tl.load(endings + row * 3)
    if node >= 0:
        token = heat * block + tl.arange(0, block)
        of_node = probs + (row * nodes + node).to(tl.int64) * size
        weight = tl.div_rn(tl.load(of_node + token, mask=token < size, other=0.0), tl.load(masses + row))
        seed, root = tl.load(seeds + row), tl.load(lengths + row) - 1
        noise = exponentials(words(seed, root, RESIDUAL, node.to(tl.uint64), heat * block, block))
        key = tl.where(weight != 0, key_of(tl.div_rn(weight, noise), token), LEAST)
        tl.store(winners + row * tl.num_programs(0) + heat, tl.max(key, 0))


@kernel(warps=1)
def bonus_kernel(winners: Longs, endings: Ints, heats: Count, heat_block: tl.constexpr = 64) -> None:
    """On a grid of rows."""
    row, heat = tl.program_id(0), tl.arange(0, heat_block)
    if tl.load(endings + row * 3) >= 0:
        key = tl.max(tl.load(winners + row * heats + heat, mask=heat < heats, other=LEAST), 0)
        tl.store(endings + row * 3 + 1, token_of(key))
