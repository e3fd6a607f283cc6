"""Means with their confidence intervals."""

from collections.abc import Sequence

import numpy as np
from attrs import frozen

from specdec.bench.figures import INTERVAL, SAMPLES


@frozen
class Interval:
    """A mean with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Interval":
        """Bootstrap the mean of the values, by percentiles and with a fixed seed."""
        numbers = np.asarray(values, float)
        samples = np.random.default_rng(0).integers(len(numbers), size=(SAMPLES, len(numbers)))
        low, high = np.percentile(numbers[samples].mean(1), INTERVAL)
        return cls(float(numbers.mean()), float(low), float(high))

    def __str__(self) -> str:
        return f"{self.mean:+.2f} ({self.low:+.2f} to {self.high:+.2f})"
