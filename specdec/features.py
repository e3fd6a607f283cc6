"""What a drafter reads of the target."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from attrs import field, fields, frozen
from jaxtyping import Float
from torch import Tensor


def _tuple_of_ints(values: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


@frozen(eq=False)
class Features:
    """What the target computed for the tokens *before* those of a step: what predicted them.

    `hidden` stacks the hidden states asked for, `keys` (after rotary embedding) and `values` those of
    the layers asked for, each in the order of `Needs`. `encoded` is what an encoder made of them; when there is one,
    the others stay with the target. Places past a row's length hold nothing of meaning.
    """

    hidden: Float[Tensor, "B K L E"] | None = None
    keys: Float[Tensor, "B K L H D"] | None = None
    values: Float[Tensor, "B K L H D"] | None = None
    encoded: Float[Tensor, "B K ..."] | None = None

    @staticmethod
    def joined(parts: Sequence["Features"]) -> "Features":
        """Put the features of successive tokens together, along K."""
        if len(parts) == 1:
            return parts[0]
        names = [part.name for part in fields(Features) if getattr(parts[0], part.name) is not None]
        return Features(**{name: torch.cat([getattr(part, name) for part in parts], 1) for name in names})

    def part(self, start: int, end: int) -> "Features":
        """Take those of each sequence's tokens from one place to another."""
        return self.map(lambda tensor: tensor[:, start:end])

    @property
    def count(self) -> int:
        """Of how many tokens of each sequence they are."""
        parts = [getattr(self, part.name) for part in fields(Features)]
        return next((part.shape[1] for part in parts if part is not None), 0)

    def map(self, change: Callable[[Tensor], Tensor]) -> "Features":
        """Change each tensor that there is."""
        parts = {part.name: getattr(self, part.name) for part in fields(Features)}
        return Features(**{name: None if part is None else change(part) for name, part in parts.items()})


class Encoder(ABC):
    """The part of a drafter that runs beside the target, and decides what crosses over to it."""

    @property
    def digest(self) -> str:
        """A hash of all that its output depends on, by which two machines know that they have the same.

        Without one, as by default, it serves a target on its own machine only.
        """
        return ""

    @abstractmethod
    def encode(self, features: Features) -> Float[Tensor, "B K ..."]:
        """Turn what the target computed for each token, by itself, into what the drafter reads of it."""


@frozen
class Needs:
    """What a drafter reads of the target.

    `hidden_states` are numbered as transformers does: 0 is the embedding, i the output of layer i, and the last
    one is taken after the final norm. `keys_values` are layers, from 0. Negative numbers count from the end, and each
    is named once. With `only_last`, a step brings nothing but what belongs to each sequence's last token.
    """

    hidden_states: tuple[int, ...] = field(default=(), converter=_tuple_of_ints)
    keys_values: tuple[int, ...] = field(default=(), converter=_tuple_of_ints)
    encoder: Encoder | None = None
    only_last: bool = False

    def __bool__(self) -> bool:
        return bool(self.hidden_states or self.keys_values)
