"""Exponential and Gumbel noise from operations that IEEE 754 rounds alike on every machine.

They are +, -, *, min, shifts and casts, in float32 and one at a time: no function of a maths library, whose last bits
differ between processors, and no fused multiply-add. Whatever keeps to this order, in any language, gets the same
bits. E is off by less than 1 ulp, G by less than 1e-6.

The logarithm is that of Cephes (S. L. Moshier, `logf.c`, https://www.netlib.org/cephes/). With x = (1 + f) 2^e and
1 + f between sqrt(1/2) and sqrt(2),

    -log x = f^2 / 2 - f + f^3 N(f) - e log 2,      N of degree 8.
"""

from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float32]]
Integers = np.ndarray[Any, np.dtype[np.int32]]
Words = np.ndarray[Any, np.dtype[np.uint32]]

# Python's floats are rounded to float32 where they meet an array of it.
_N = (
    -7.0376836292e-2,
    1.1514610310e-1,
    -1.1676998740e-1,
    1.2420140846e-1,
    -1.4249322787e-1,
    1.6668057665e-1,
    -2.0000714765e-1,
    2.4999993993e-1,
    -3.3333331174e-1,
)
_LOG2_HIGH, _LOG2_LOW = 0.693359375, -2.12194440e-4  # products of the high part with an exponent are exact
_ONE, _SQRT_HALF = 0x3F800000, 0x3F3504F3  # as bits of a float32
_BLOCK = 16384
"""Numbers taken through all operations together, few enough to stay in a core's cache."""


def exponentials(words: Words) -> Floats:
    """Turn words into exponential noise E = -log(1 - v), v = (word + 1/2) / 2^32: positive and finite."""
    noise = np.empty(len(words), np.float32)
    for start in range(0, len(words), _BLOCK):
        _exponentials(words[start : start + _BLOCK], noise[start : start + _BLOCK])
    return noise


def gumbels(words: Words) -> Floats:
    """Turn words into Gumbel noise G = -log E, of the E of `exponentials`."""
    noise = np.empty(len(words), np.float32)
    for start in range(0, len(words), _BLOCK):
        block = noise[start : start + _BLOCK]
        _exponentials(words[start : start + _BLOCK], block)
        _gumbels(block)
    return noise


def _exponentials(words: Words, out: Floats) -> None:
    v = words.astype(np.float32)
    v += 0.5
    v *= 2.0**-32
    np.minimum(v, 1 - 2.0**-24, out=v)  # rounding may not reach 1
    np.subtract(1, v, out=out)
    e = _exponent(out)
    f: Floats = (_ONE - (e << 23)).view(np.float32)  # 2^-e
    v *= f
    f -= 1
    f -= v  # (2^-e - 1) - 2^-e v: exact, where 1 - v was not
    _negative_log(f, e, out)


def _gumbels(noise: Floats) -> None:
    """Replace E, which is never subnormal, by -log E."""
    e = _exponent(noise)
    f: Floats = (noise.view(np.int32) - (e << 23)).view(np.float32)
    f -= 1  # exact
    _negative_log(f, e, noise)


def _exponent(x: Floats) -> Integers:
    """Find e with x / 2^e from sqrt(1/2) to sqrt(2)."""
    e = x.view(np.int32) - _SQRT_HALF
    e >>= 23
    return e


def _negative_log(f: Floats, exponent: Integers, out: Floats) -> None:
    """Write -log((1 + f) 2^exponent)."""
    np.multiply(f, _N[0], out=out)
    for coefficient in _N[1:-1]:
        out += coefficient
        out *= f
    out += _N[-1]
    square = f * f
    out *= square
    out *= f
    e = exponent.astype(np.float32)
    out -= e * _LOG2_LOW
    square *= 0.5
    out += square
    out -= f
    e *= _LOG2_HIGH
    out -= e
