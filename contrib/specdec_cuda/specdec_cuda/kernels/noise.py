"""Noise, bit for bit that of `specdec.chance.Keyed`.

The words are Philox4x64-10's: whole numbers. The logarithms are those of `specdec.canonical`: +, -, *, min, shifts and
casts in float32, in its order, each rounded by itself as IEEE 754 says. So there is one result, whatever computes it.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from specdec_cuda.jit import Floats, Longs, Size, Value, device, kernel

BLOCK = tl.constexpr(1024)
"""Tokens of one program, a multiple of the 8 whose words Philox gives at once."""
LOW = tl.constexpr(0xFFFFFFFF)
SQRT_HALF = tl.constexpr(0x3F3504F3)  # as bits of a float32


def noise(
    seeds: Int[Tensor, " K"], positions: Int[Tensor, " K"], temperatures: Float[Tensor, " K"], size: int
) -> Float[Tensor, "K V"]:
    """Make the Gumbel noise by which the tokens at these positions are chosen, times the temperature."""
    scaled = torch.empty(len(seeds), size, device=seeds.device)
    noise_kernel[triton.cdiv(size, int(BLOCK)), len(seeds)](seeds, positions, temperatures, scaled, size)
    return scaled


@kernel(warps=4)
def noise_kernel(
    seeds: Longs, positions: Longs, temperatures: Floats, scaled: Floats, size: Size, block: tl.constexpr = BLOCK
) -> None:
    """On a grid of blocks and keys."""
    key, first = tl.program_id(1), tl.program_id(0) * block
    token = first + tl.arange(0, block)
    g = gumbels(words(tl.load(seeds + key), tl.load(positions + key), 0, 0, first, block))
    tl.store(scaled + key.to(tl.int64) * size + token, g * tl.load(temperatures + key), mask=token < size)


@device
def gumbels(words: Value) -> Value:
    """Turn words into Gumbel noise, as `canonical.gumbels`."""
    e = exponentials(words)
    exponent = (e.to(tl.int32, bitcast=True) - SQRT_HALF) >> 23
    f = (e.to(tl.int32, bitcast=True) - (exponent << 23)).to(tl.float32, bitcast=True) - 1.0
    return _negative_log(f, exponent)


@device
def exponentials(words: Value) -> Value:
    """Turn words into exponential noise, as `canonical.exponentials`."""
    v = tl.minimum((words.to(tl.float32) + 0.5) * 2.0**-32, 1 - 2.0**-24)
    exponent = ((1.0 - v).to(tl.int32, bitcast=True) - SQRT_HALF) >> 23
    scale = ((127 - exponent) << 23).to(tl.float32, bitcast=True)
    return _negative_log((scale - 1.0) - v * scale, exponent)


@device
def _negative_log(f: Value, exponent: Value) -> Value:
    """Compute -log((1 + f) 2^exponent)."""
    y = f * -7.0376836292e-2
    y = (y + 1.1514610310e-1) * f
    y = (y + -1.1676998740e-1) * f
    y = (y + 1.2420140846e-1) * f
    y = (y + -1.4249322787e-1) * f
    y = (y + 1.6668057665e-1) * f
    y = (y + -2.0000714765e-1) * f
    y = (y + 2.4999993993e-1) * f
    y = y + -3.3333331174e-1
    square = f * f
    y = y * square * f
    e = exponent.to(tl.float32)
    y = y - e * -2.12194440e-4
    y = y + square * 0.5
    y = y - f
    return y - e * 0.693359375


@device
def words(seed: Value, position: Value, purpose: Value, node: Value, first: Value, block: tl.constexpr) -> Value:
    """Make the words of 32 bits of the tokens from `first`, a multiple of 8, on; seed and position are int64."""
    count = (first // 8 + 1 + tl.arange(0, block // 8)).to(tl.uint64)  # numpy counts before it reads
    none = tl.zeros_like(count)
    key = none + seed.to(tl.uint64, bitcast=True), none + position.to(tl.uint64, bitcast=True)
    a, b, c, d = philox(count, none + node, none + purpose, none, key[0], key[1])
    low = tl.join(tl.join(a & LOW, c & LOW), tl.join(b & LOW, d & LOW))
    high = tl.join(tl.join(a >> 32, c >> 32), tl.join(b >> 32, d >> 32))
    return tl.reshape(tl.join(low, high), [block]).to(tl.uint32)


@device
def philox(c0: Value, c1: Value, c2: Value, c3: Value, k0: Value, k1: Value) -> Value:
    """Philox4x64-10, of uint64."""
    for _ in tl.static_range(10):
        high0, low0 = _product(c0, 0xD2E7470E, 0xE14C6C93)
        high2, low2 = _product(c2, 0xCA5A8263, 0x95121157)
        c0, c1, c2, c3 = high2 ^ c1 ^ k0, low2, high0 ^ c3 ^ k1, low0
        k0 = tl.add(k0, 0x9E3779B97F4A7C15, sanitize_overflow=False)
        k1 = tl.add(k1, 0xBB67AE8584CAA73B, sanitize_overflow=False)
    return c0, c1, c2, c3


@device
def _product(a: Value, b_high: tl.constexpr, b_low: tl.constexpr) -> Value:
    """Multiply 64 by 64 bits, of which 32 at a time: the 128 bits as a high and a low half."""
    a_high, a_low = a >> 32, a & LOW
    low, cross, other = a_low * b_low, a_low * b_high, a_high * b_low
    middle = (low >> 32) + (cross & LOW) + (other & LOW)
    return a_high * b_high + (cross >> 32) + (other >> 32) + (middle >> 32), (low & LOW) | (middle << 32)
