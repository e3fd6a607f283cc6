"""The learning rate, step by step."""

from attrs import field, frozen

from specdec.bounds import bounds


@frozen
class Schedule:
    """Rise to `peak` in `warmup` steps, fall to `base` in `decay` steps, stay there; both in straight lines.

    Without `decay` the fall takes the rest of the first pass over the data, or of the `whole` run. Of a run that is
    too short for the warm-up this takes no more than a `share`, if that is below 1.
    """

    peak: float = field(validator=bounds(0, above=True))
    base: float = field(validator=bounds(0))
    warmup: int = field(default=50, validator=bounds(0))
    decay: int | None = field(default=None, validator=bounds(1))
    share: float = field(default=1.0, validator=bounds(0, 1))
    whole: bool = False

    def rate(self, step: int, epoch_steps: int, steps: int) -> float:
        """Give the learning rate of a step, counted from 0, in a run of `steps` with `epoch_steps` to a pass."""
        warmup = min(self.warmup, int(self.share * steps)) if self.share < 1 else self.warmup
        if step < warmup:
            return self.peak * step / warmup
        fall = self.decay or max((steps if self.whole else epoch_steps) - warmup, 1)
        return self.peak + (self.base - self.peak) * min((step - warmup) / fall, 1.0)
