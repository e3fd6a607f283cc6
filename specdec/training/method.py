"""What a plugin brings to be trained: a head, and what it has to learn."""

import inspect
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import fields as fields_of
from math import inf
from typing import Annotated, Any, TypeVar

from attrs import field, fields, frozen
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from specdec.bounds import bounds
from specdec.errors import OptionError
from specdec.features import Needs
from specdec.heads import HeadModel
from specdec.interfaces import Drafter
from specdec.training.dataset import Examples
from specdec.training.recipe import Recipe
from specdec.training.teacher import TeacherBatch

Factory = TypeVar("Factory", bound=Callable[..., Any])


@frozen
class Progress:
    """How far training is, in passes over the data."""

    epoch: float
    epochs: float


class TrainingMethod(nn.Module):
    """A head in training. The target's own modules must not be among its submodules, for these are saved."""

    needs: Needs
    """What it reads of the target, raw."""
    recipe: Recipe
    """How it is optimised by default."""
    head: PreTrainedModel
    keeps_vocabulary: bool = False
    """Whether the head has the draft vocabulary that it is to have, because training starts from it."""

    def prepare(self, examples: Examples) -> None:
        """Look at all texts before the first step; a run that is continued looks at them again.

        The tokens that their answers use most become the draft vocabulary of a new head that has one.
        """
        if isinstance(self.head, HeadModel) and self.head.reduced and not self.keeps_vocabulary:
            config: Any = self.head.config
            tokens = examples.frequent(config.draft_vocab_size, config.vocab_size)
            self.head.choose(tokens.to(self.head.device))

    @abstractmethod
    def forward(self, batch: TeacherBatch, progress: Progress) -> dict[str, Float[Tensor, ""]]:
        """Compute `loss`, which is minimised, and its parts by name, for the log."""

    @abstractmethod
    def drafter(self) -> Drafter:
        """Make a drafter that uses the head as it is now."""

    def save(self, path: str) -> None:
        """Write the head as its drafter loads it."""
        self.head.save_pretrained(path)


def option(default: Any, text: str, low: int | float = 0, high: int | float = inf, *, above: bool = False) -> Any:
    """Make a field of an attrs class of options, described for the command line; numbers have bounds."""
    number = isinstance(default, int | float) and not isinstance(default, bool)
    return field(default=default, metadata={"help": text}, validator=bounds(low, high, above=above) if number else None)


def takes(kind: type[Any]) -> Callable[[Factory], Factory]:
    """Declare that the `**options` of a method's factory are the fields of an attrs class, made by `option`.

    `specdec train` then offers them by name, and refuses others before anything is loaded.
    """

    def spell_out(factory: Factory) -> Factory:
        own = inspect.signature(factory).parameters
        named = [parameter for parameter in own.values() if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
        more = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=Annotated[field.type, field.metadata.get("help", "")],
            )
            for field in fields(kind)
            if field.name not in own
        ]
        factory.__signature__ = inspect.Signature([*named, *more])  # type: ignore[attr-defined]
        return factory

    return spell_out


def chosen_sizes(sizes: str, kind: type[PreTrainedConfig]) -> dict[str, int]:
    """Read sizes of a head, `field=value` joined by `+`, for a configuration of this kind.

    Raises:
        OptionError: there is no such size, or it is no positive integer.
    """
    known, chosen = _sizes(kind), {}
    for part in filter(None, sizes.split("+")):
        name, _, size = part.partition("=")
        if name not in known or not size.isdecimal() or not int(size):
            raise OptionError(f"expected sizes as field=value, with fields {', '.join(known)}, got {part!r}")
        chosen[name] = int(size)
    return chosen


def written_sizes(config: PreTrainedConfig) -> str:
    """Write all sizes of a head as `chosen_sizes` reads them."""
    return "+".join(f"{name}={getattr(config, name)}" for name in _sizes(type(config)))


def _sizes(kind: type[PreTrainedConfig]) -> list[str]:
    ends = ("intermediate_size", "attention_heads", "key_value_heads", "head_dim")
    return sorted({field.name for field in fields_of(kind) if field.name.endswith(ends)})
