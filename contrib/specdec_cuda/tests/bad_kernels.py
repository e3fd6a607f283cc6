"""Kernels that the audit has to find, and one that it has to let through."""

import triton.language as tl
from specdec_cuda.jit import Floats, kernel

BLOCK = tl.constexpr(128)
MUCH = tl.constexpr(32768)


@kernel(warps=1)
def good(numbers: Floats, block: tl.constexpr = BLOCK) -> None:
    x = tl.load(numbers + tl.arange(0, block))
    tl.store(numbers + tl.arange(0, block), tl.div_rn(x * x + x, x - 3.0))


@kernel(warps=1)
def fused(numbers: Floats, block: tl.constexpr = BLOCK) -> None:
    x = tl.load(numbers + tl.arange(0, block))
    tl.store(numbers + tl.arange(0, block), x * x + x)


fused.options["enable_fp_fusion"] = True


@kernel(warps=1)
def approximate(numbers: Floats, block: tl.constexpr = BLOCK) -> None:
    x = tl.load(numbers + tl.arange(0, block))
    tl.store(numbers + tl.arange(0, block), tl.exp(x))


@kernel(warps=1)
def divided(numbers: Floats, block: tl.constexpr = BLOCK) -> None:
    x = tl.load(numbers + tl.arange(0, block))
    tl.store(numbers + tl.arange(0, block), x / (x + 1.0))


@kernel(warps=1)
def spilling(numbers: Floats, block: tl.constexpr = MUCH) -> None:
    x = tl.load(numbers + tl.arange(0, block))
    tl.store(numbers + tl.arange(0, block), x - tl.max(x, 0))
