"""What a plugin brings to be trained: a head, and what it has to learn."""

from abc import abstractmethod

from attrs import frozen
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from specdec.data import Needs
from specdec.interfaces import Drafter
from specdec.training.lesson import Lesson
from specdec.training.schedule import Schedule


@frozen
class Progress:
    """How far training is, in passes over the data."""

    epoch: float
    epochs: float


@frozen
class Recipe:
    """How a method is optimised, by its authors: AdamW, the norm of gradients clipped."""

    schedule: Schedule
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.0
    clip: float = 1.0
    epochs: float = 1.0
    batch: int = 32


class Method(nn.Module):
    """A head in training. The target's own modules must not be among its submodules, for these are saved."""

    needs: Needs
    """What it reads of the target, raw."""
    recipe: Recipe
    """How it is optimised unless asked otherwise."""
    head: PreTrainedModel

    @abstractmethod
    def forward(self, lesson: Lesson, progress: Progress) -> dict[str, Float[Tensor, ""]]:
        """Compute what is to be made small, `loss`, and its parts by name, for the log."""

    @abstractmethod
    def drafter(self) -> Drafter:
        """Give a drafter that uses the head as it is now."""

    def save(self, path: str) -> None:
        """Write the head as its drafter loads it."""
        self.head.save_pretrained(path)
