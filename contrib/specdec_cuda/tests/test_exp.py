"""Powers of e: how near they are to the real ones, and that weights are whole."""

import numpy as np
import torch
import triton.language as tl
from specdec_cuda.jit import Floats, Longs, kernel
from specdec_cuda.kernels.exp import exp, weight

COUNT = tl.constexpr(8192)


@kernel(warps=4)
def powers(numbers: Floats, results: Floats, weights: Longs, count: tl.constexpr = COUNT) -> None:
    place = tl.arange(0, count)
    d = tl.load(numbers + place)
    tl.store(results + place, exp(d))
    tl.store(weights + place, weight(d))


def test_powers_are_right_to_the_last_bit_or_the_next() -> None:
    d = np.concatenate([np.linspace(-87, 0, 8000), -np.logspace(-40, 1, 192)]).astype(np.float32)
    results, weights = torch.empty(len(d)), torch.empty(len(d), dtype=torch.int64)
    powers[(1,)](torch.from_numpy(d), results, weights)

    exact = np.exp(d.astype(np.float64))
    ulp = np.abs(results.numpy() - exact) / np.spacing(exact.astype(np.float32))
    assert ulp.max() < 1
    off = exact - weights.numpy() / 2.0**42
    assert off.max() < 2.0**-42 + 1e-7
    assert off.min() > -1e-7


def test_ends() -> None:
    d = torch.zeros(int(COUNT))
    d[:4] = torch.tensor([0.0, -87.0, -1000.0, -torch.inf])
    results, weights = torch.empty(len(d)), torch.empty(len(d), dtype=torch.int64)
    powers[(1,)](d, results, weights)

    assert results[0] == 1
    assert results[1] == results[2] == results[3] > 0
    assert weights[:4].tolist() == [2**42, 0, 0, 0]
