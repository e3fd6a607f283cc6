"""Figures with their confidence intervals."""

from collections.abc import Sequence

import numpy as np
from attrs import frozen

SAMPLES = 2000
"""Of the bootstrap."""
BOUNDS = (2.5, 97.5)
"""Percentiles."""


@frozen
class Interval:
    """A figure with its 95 % interval, by the bootstrap: percentiles, with a fixed seed."""

    value: float
    low: float
    high: float

    @classmethod
    def mean(cls, values: Sequence[float]) -> "Interval":
        """Give the mean of values."""
        return cls.ratio(values, [1.0] * len(values))

    @classmethod
    def ratio(cls, over: Sequence[float], under: Sequence[float]) -> "Interval":
        """Give the ratio of two sums, whose summands are drawn again in pairs."""
        pairs = np.array([over, under], float)
        samples = np.random.default_rng(0).integers(pairs.shape[1], size=(SAMPLES, pairs.shape[1]))
        resampled = pairs[:, samples].sum(2)  # [2, SAMPLES]
        low, high = np.percentile(resampled[0] / resampled[1], BOUNDS)
        whole = pairs.sum(1)
        return cls(float(whole[0] / whole[1]), float(low), float(high))

    def __format__(self, spec: str) -> str:
        return f"{self.value:{spec}} ({self.low:{spec}} to {self.high:{spec}})"
