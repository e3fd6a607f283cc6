"""How far apart two drafters are, and how sure that is."""

from collections.abc import Sequence

import numpy as np
from attrs import frozen

from specdec.bench.figures import INTERVAL, SAMPLES


@frozen
class Interval:
    """A mean, and what it would be of other such texts: 95 % of what is drawn from these, with replacement."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Interval":
        """Draw the values again and again (bootstrap, percentiles); the same values have the same interval."""
        numbers = np.asarray(values, float)
        samples = np.random.default_rng(0).integers(len(numbers), size=(SAMPLES, len(numbers)))
        low, high = np.percentile(numbers[samples].mean(1), INTERVAL)
        return cls(float(numbers.mean()), float(low), float(high))

    def __str__(self) -> str:
        return f"{self.mean:+.2f} ({self.low:+.2f} to {self.high:+.2f})"
