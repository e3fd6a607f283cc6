"""The learning rate, step by step."""

from attrs import frozen


@frozen
class Schedule:
    """Rise to `peak` in `warmup` steps, fall to `base` in `decay` steps, stay there; both in straight lines.

    Without `decay` the fall takes the rest of the first pass over the data.
    """

    peak: float
    base: float
    warmup: int = 50
    decay: int | None = None

    def rate(self, step: int, epoch_steps: int, steps: int) -> float:
        """Give the learning rate of a step, counted from 0, in a run of `steps` with `epoch_steps` to a pass."""
        if step < self.warmup:
            return self.peak * step / self.warmup
        fall = max(epoch_steps - self.warmup, 1) if self.decay is None else max(self.decay, 1)
        return self.peak + (self.base - self.peak) * min((step - self.warmup) / fall, 1.0)
