"""The time of a launch, and its floor: the bytes that it moves over the bandwidth of the memory."""

import torch
from attrs import frozen
from triton.testing import do_bench

from specdec_cuda.work import Work

COPIED = 2**29
"""Bytes of the copy by which bandwidth is measured: more than any cache holds."""


def bandwidth(device: torch.device) -> float:
    """Measure how many bytes the memory of a GPU moves in a second."""
    source = torch.empty(COPIED, dtype=torch.uint8, device=device)
    copy = torch.empty_like(source)
    return 2 * COPIED / _seconds(Work(lambda: copy.copy_(source), 2 * COPIED))


@frozen
class Floor:
    """How long a launch takes, in microseconds, and how long its bytes take."""

    median_us: float
    floor_us: float

    @classmethod
    def of(cls, work: Work, speed: float) -> "Floor":
        """Time a launch on a GPU that moves so many bytes in a second."""
        return cls(1e6 * _seconds(work), 1e6 * work.nbytes / speed)

    def __str__(self) -> str:
        return f"{self.median_us:.1f} us, of which memory takes {self.floor_us:.1f}"

    @property
    def figures(self) -> dict[str, float]:
        """The same by names."""
        return {"median_us": self.median_us, "floor_us": self.floor_us}


def _seconds(work: Work) -> float:
    """Time a launch with cold caches: the median of many."""
    return float(do_bench(work.launch, return_mode="median")) / 1000
