"""Figures with their confidence intervals."""

from collections.abc import Sequence

import numpy as np
from attrs import frozen

SAMPLES = 2000
"""How often the bootstrap draws the values again."""
BOUNDS = (2.5, 97.5)
"""Percentiles."""


@frozen
class Interval:
    """A figure with its 95 % interval, by the bootstrap: percentiles, with a fixed seed. One value has no interval."""

    value: float
    low: float | None
    high: float | None

    @classmethod
    def mean(cls, values: Sequence[int | float]) -> "Interval":
        """Give the mean of values."""
        return cls.ratio(values, [1.0] * len(values))

    @classmethod
    def ratio(cls, numerators: Sequence[int | float], denominators: Sequence[int | float]) -> "Interval":
        """Give the ratio of two sums, whose summands are drawn again in pairs."""
        pairs = np.array([numerators, denominators], float)
        whole, count = pairs.sum(1), pairs.shape[1]
        value = float(whole[0] / whole[1])
        if count < 2:
            return cls(value, None, None)
        samples = np.random.default_rng(0).integers(count, size=(SAMPLES, count))
        resampled = pairs[:, samples].sum(2)  # [2, SAMPLES]
        low, high = np.percentile(resampled[0] / resampled[1], BOUNDS)
        return cls(value, float(low), float(high))

    def __format__(self, spec: str) -> str:
        if self.low is None:
            return f"{self.value:{spec}}"
        return f"{self.value:{spec}} ({self.low:{spec}} to {self.high:{spec}})"
