"""Powers of e that are the same on every machine, and weights that add up to the same in every order.

`exp` is made like the logarithms of `specdec.canonical`: of +, -, *, max, shifts and casts in float32, each rounded by
itself, after Cephes (S. L. Moshier, `expf.c`, https://www.netlib.org/cephes/): with d = n log 2 + r and r between
-log(2) / 2 and log(2) / 2 it is 2^n (1 + r + r^2 P(r)). It was off by 0.95 ulp at most, of half a million.

Sums of floats depend on their order, which is another on every machine. Weights are whole numbers, so that their sum
is exact: multiples of 2^-42, of which a million do not overflow. What is lost is less than what single precision
leaves of a sum near 1.
"""

import triton.language as tl

from specdec_cuda.jit import Value, device

LOG2_E = tl.constexpr(1.44269504088896341)
LOG2_HIGH = tl.constexpr(0.693359375)
LOG2_LOW = tl.constexpr(-2.12194440e-4)


@device
def exp(d: Value) -> Value:
    """Raise e to numbers up to 0; below -87, where normal numbers end, it stays what it is there."""
    y, n = _parts(d)
    return y * ((n + 127) << 23).to(tl.float32, bitcast=True)


@device
def weight(d: Value) -> Value:
    """Raise e to numbers up to 0, in whole units of 2^-42, rounded down."""
    y, n = _parts(d)
    return (y * 2.0**24).to(tl.int32).to(tl.int64) << 18 >> tl.minimum(-n, 63)  # a GPU can shift by no more


@device
def _parts(d: Value) -> Value:
    """Give y and n with y 2^n = exp(d), y from sqrt(1/2) to sqrt(2)."""
    d = tl.maximum(d, -87.0)
    n = (d * LOG2_E - 0.5).to(tl.int32)
    whole = n.to(tl.float32)
    r = d - whole * LOG2_HIGH
    r = r - whole * LOG2_LOW
    y = r * 1.9875691500e-4
    y = (y + 1.3981999507e-3) * r
    y = (y + 8.3334519073e-3) * r
    y = (y + 4.1665795894e-2) * r
    y = (y + 1.6666665459e-1) * r
    y = (y + 5.0000001201e-1) * (r * r)
    return (y + r) + 1.0, n
