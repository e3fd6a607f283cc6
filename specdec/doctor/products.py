"""What this processor multiplies by, how fast, and whether its noise has the bits that all machines agree on."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from specdec.chance import Key, Keyed, Purpose
from specdec.doctor.finding import Finding, Status
from specdec.target.half import HalfPrecisionLinear, packs_exactly

LARGE = 2560
"""Rows and columns of weights that a processor has to fetch from memory."""
SMALL = (1536, 512)
"""Rows and columns of weights that it keeps, as those of a small head's layer."""
STATES = 4
"""How many nodes of a tree a head reads at a time."""
REPEATS = 5
KEY = Key(1, 2, Purpose.TARGET)
NOISE = "1e4a0d36a9809ed233769746b8dfd217ce8f096df1443547b19803c39ccb89f3"
"""The hash of noise for `KEY`, 4,096 numbers."""


def products() -> Iterator[Finding]:
    """Time the products that targets and heads ask for, in well under a second."""
    numbers = torch.Generator().manual_seed(0)
    layer = nn.Linear(LARGE, LARGE, bias=False).requires_grad_(False)
    layer.weight.copy_(torch.rand(LARGE, LARGE, generator=numbers).half())
    states = torch.rand(1, LARGE, generator=numbers)
    full = _milliseconds(lambda: layer(states))
    yield Finding("full precision", Status.OK, f"{full:.2f} ms for a token and {LARGE}x{LARGE} weights", _figure(full))
    yield _half(layer, states, full)
    yield _by_column(torch.rand(*SMALL, generator=numbers), torch.rand(STATES, SMALL[1], generator=numbers))
    yield _noise()


def _half(layer: nn.Linear, states: Tensor, full: float) -> Finding:
    """Compare the product with weights in half precision, if it is here, with that in single precision."""
    name = "half precision"
    if not packs_exactly(layer):
        return Finding(name, Status.INFO, "torch has no such product here; weights are read in single precision")
    packed = HalfPrecisionLinear(layer)
    if not torch.allclose(packed(states), layer(states), rtol=1e-4):
        return Finding(name, Status.FAILED, "expected the product of single precision, got another; use --weights full")
    half = _milliseconds(lambda: packed(states))
    if half > full:
        message = f"expected less than the {full:.2f} ms of full precision, got {half:.2f}; try --weights full"
        return Finding(name, Status.WARNING, message, _figure(half))
    return Finding(name, Status.OK, f"{half:.2f} ms for the same, {full / half:.1f} times as fast", _figure(half))


def _by_column(weight: Tensor, states: Tensor) -> Finding:
    """Time a head's product, of weights with each column in one piece."""
    columns = weight.T.contiguous().T
    took = _milliseconds(lambda: linear(states, columns))
    rows, width = SMALL
    return Finding(
        "weights by column", Status.OK, f"{took:.3f} ms for {STATES} tokens and {rows}x{width}", _figure(took)
    )


def _noise() -> Finding:
    """Compare the noise by which tokens are chosen with what it is everywhere."""
    found = sha256(Keyed().noise(KEY, 4096).astype("<f4").tobytes()).hexdigest()
    if found != NOISE:
        message = "expected the bits that other machines have, got others; seeds give other texts; please report it"
        return Finding("noise", Status.FAILED, message)
    return Finding("noise", Status.OK, "has the same bits as on other machines")


def _milliseconds(product: Callable[[], Tensor]) -> float:
    """Time a product, as the median of a few."""
    times = list[float]()
    for _ in range(REPEATS + 1):  # the first warms up
        start = perf_counter()
        product()
        times.append(1000 * (perf_counter() - start))
    return median(times[1:])


def _figure(milliseconds: float) -> dict[str, float]:
    return {"median_ms": milliseconds}
