"""How a head is optimised."""

from attrs import evolve, field, frozen

from specdec.bounds import bounds
from specdec.training.schedule import Schedule

RATE, MATRICES, WARMUP = 3e-3, 0.02, 50
"""Highest rates of a short run, of AdamW and of Muon, and the steps until they are reached."""

OPTIMISING = ("rate", "last_rate", "warmup", "decay", "clip", "clip_value", "weight_decay")
"""Options of methods that `Recipe.short` leaves no room for."""


@frozen
class Recipe:
    """How a method is optimised, by its authors: AdamW, gradients clipped by norm, by value, or neither (0).

    With `muon`, that is the highest rate of the head's matrices, which Muon steps in place of AdamW.
    """

    schedule: Schedule
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = field(default=0.0, validator=bounds(0))
    clip: float = field(default=1.0, validator=bounds(0))
    clip_value: float = field(default=0.0, validator=bounds(0))
    epochs: float = field(default=1.0, validator=bounds(0, above=True))
    batch: int = field(default=32, validator=bounds(1))
    muon: float = field(default=0.0, validator=bounds(0))

    def short(self, rate: float = RATE) -> "Recipe":
        """Give the recipe for a small head and a few thousand steps, the same for every method but for its batch.

        Published rates are for heads of a quarter of a billion parameters, and for a hundred times as many steps.
        """
        return evolve(
            self,
            schedule=Schedule(rate, rate / 20, WARMUP, share=0.1, whole=True),
            weight_decay=0.0,
            clip=1.0,
            clip_value=0.0,
            muon=MATRICES,
        )
