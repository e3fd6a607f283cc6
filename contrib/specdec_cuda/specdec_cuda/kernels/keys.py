"""Whole numbers that are in the order of scores.

A float's bits, read as an integer, are in the order of the floats but for the negative ones, which fall as they rise:
with all but their sign turned over they rise as well.
"""

import triton.language as tl

from specdec_cuda.jit import Value, device

LEAST = tl.constexpr(-(2**63))
"""Less than any key."""
LAST = tl.constexpr(0x7FFFFFFF)
"""More than any token."""
FAILED = tl.constexpr(0x7F800000 << 32)
"""A key that is not finite."""
INFINITE = tl.constexpr(0x7F800000)
"""The order of infinity; that of minus infinity is `-INFINITE - 1`."""


@device
def order(x: Value) -> Value:
    """Give integers in the order of float32 numbers, among which there is no NaN; of the two zeros it makes one."""
    bits = (x + 0.0).to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@device
def number(order: Value) -> Value:
    """Give the float32 numbers that have this order."""
    return (order ^ ((order >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)


@device
def key_of(score: Value, token: Value) -> Value:
    """Give the integer that is larger the larger the score, and of equal scores the lower the token."""
    return (order(score).to(tl.int64) << 32) | (-token + LAST).to(tl.int64)


@device
def token_of(key: Value) -> Value:
    """Give the token of a key."""
    return -(key & LAST).to(tl.int32) + LAST


@device
def is_finite(key: Value) -> Value:
    """Whether the score of a key is finite."""
    score = (key >> 32).to(tl.int32)
    return (score < INFINITE) & (score > -INFINITE - 1)
