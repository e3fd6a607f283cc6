"""What passes between drafter, verifier and loop. Shape letters are those of `specdec.tree`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from attrs import evolve, field, fields, frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import LogitsProcessor

from specdec.chance import Chance, Dice, Keyed
from specdec.errors import OptionError
from specdec.nodes import PADDING, array


def _tuple_of_ints(values: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _tokens_or_none(tokens: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if tokens is None else _tuple_of_ints(tokens)


def _strings(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


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

    def first(self, count: int) -> "Features":
        """Take those of each row's first tokens."""
        parts = {part.name: getattr(self, part.name) for part in fields(Features)}
        return Features(**{name: None if part is None else part[:, :count] for name, part in parts.items()})


class Encoder(ABC):
    """The part of a drafter that runs beside the target, and decides what crosses over to it."""

    @abstractmethod
    def encode(self, features: Features) -> Float[Tensor, "B K ..."]:
        """Turn what the target computed for each token, by itself, into what the drafter reads of it."""


@frozen
class Needs:
    """What a drafter reads of the target.

    `hidden_states` are numbered as transformers does: 0 is the embedding, i the output of layer i, and the last
    one is taken after the final norm. `keys_values` are layers, from 0. Negative numbers count from the end.
    """

    hidden_states: tuple[int, ...] = field(default=(), converter=_tuple_of_ints)
    keys_values: tuple[int, ...] = field(default=(), converter=_tuple_of_ints)
    encoder: Encoder | None = None

    def __bool__(self) -> bool:
        return bool(self.hidden_states or self.keys_values)


def _check(name: str, low: int | float, high: int | float, *, above: bool = False, whole: bool = False) -> Any:
    """Build an attrs validator for a number within bounds, or None where that is the default."""
    kind = int if whole else int | float

    def validate(_: object, attribute: Any, value: Any) -> None:
        if value is None and attribute.default is None:
            return
        if not isinstance(value, kind) or isinstance(value, bool):
            raise OptionError(f"expected a {name} that is a {'whole ' if whole else ''}number, got {value!r}")
        if not ((low < value if above else low <= value) and value <= high):
            bound = f"above {low}" if above else f"of at least {low}"
            limit = f" and at most {high}" if high < float("inf") else ""
            raise OptionError(f"expected a {name} {bound}{limit}, got {value}")

    return validate


_INFINITY = float("inf")
_LARGEST_FLOAT = 3.4e38


@frozen(cache_hash=True)
class Sampling:
    """How the target is sampled; the law is that of transformers' `generate` with these options.

    Temperature 0 is greedy. `processors` are transformers' own or yours, applied after the repetition penalty
    and before temperature, top-k, top-p and min-p; each must be a pure function of the row's tokens
    and scores. The text depends on `seed` and on nothing else that is random.
    """

    temperature: float = field(default=0.0, validator=_check("temperature", 0, _LARGEST_FLOAT))
    top_k: int | None = field(default=None, validator=_check("top_k", 1, _INFINITY, whole=True))
    top_p: float | None = field(default=None, validator=_check("top_p", 0, 1, above=True))
    min_p: float | None = field(default=None, validator=_check("min_p", 0, 1))
    repetition_penalty: float = field(
        default=1.0, validator=_check("repetition_penalty", 0, _LARGEST_FLOAT, above=True)
    )
    processors: tuple[LogitsProcessor, ...] = field(default=(), converter=tuple)
    seed: int = field(default=0, validator=_check("seed", 0, 2**64 - 1, whole=True))

    def spread(self, rows: int) -> tuple["Sampling", ...]:
        """Give each of several prompts its own: row i is what its prompt alone gets with `seed + i`."""
        return tuple(evolve(self, seed=(self.seed + row) % 2**64) for row in range(rows))


@frozen
class Stop:
    """When a row is done: after `max_tokens` new tokens, or the token that ends the text.

    An end token or the token that completes a stop string is the row's last. Without `tokens` the
    model's own end tokens count; `()` is none.
    """

    max_tokens: int | None = field(default=None, validator=_check("max_tokens", 1, _INFINITY, whole=True))
    tokens: tuple[int, ...] | None = field(default=None, converter=_tokens_or_none)
    strings: tuple[str, ...] = field(default=(), converter=_strings)

    @strings.validator
    def _not_empty(self, _: object, strings: tuple[str, ...]) -> None:
        if "" in strings:
            raise OptionError("expected stop strings of at least one character, got ''")


@frozen(eq=False)
class Step:
    """What one pass of the target decided: `lengths` tokens per row, none for rows that are done.

    The first `accepted` of a row's tokens were drafted, the rest is the target's own. Features belong to the token
    before: `features[:, k]` predicted `tokens[:, k]`. `text` is filled in by `Decoder.stream`: what
    the row's text gained. Unverified tokens are a drafter's alone.
    """

    tokens: Int[Tensor, "B K"]
    lengths: Int[Tensor, " B"]
    accepted: Int[Tensor, " B"]
    features: Features | None = None
    verified: bool = True
    text: tuple[str, ...] | None = None


@frozen(eq=False)
class Context:
    """The rows of a batch as decided so far.

    `limits` are the lengths that rows may reach. `step` is the last step, the reading of the prompt included: its
    features are what is new since the drafter last saw the rows.
    """

    tokens: Int[Tensor, "B T"]
    lengths: Int[Tensor, " B"]
    limits: Int[Tensor, " B"]
    done: Bool[Tensor, " B"]
    sampling: tuple[Sampling, ...]
    step: Step
    chance: Chance = field(factory=Keyed)

    @cached_property
    def roots(self) -> Int[Tensor, " B"]:
        """The last decided token of each row; padding for rows that are done."""
        last = array(self.tokens)[np.arange(len(self.lengths)), array(self.lengths) - 1]
        return torch.from_numpy(np.where(array(self.done), PADDING, last))

    @cached_property
    def room(self) -> Int[Tensor, " B"]:
        """How deep drafting is of use: the last token of a row is never drafted, but sampled."""
        return torch.from_numpy(np.maximum(array(self.limits) - array(self.lengths) - 1, 0))

    @cached_property
    def dice(self) -> list[Dice]:
        """The chances of each row in the coming step."""
        pairs = zip(self.sampling, self.lengths.tolist(), strict=True)
        return [Dice(self.chance, sampling.seed, length - 1) for sampling, length in pairs]

    def row(self, row: int) -> list[int]:
        """List a row's decided tokens."""
        tokens: list[int] = array(self.tokens)[row, : self.lengths[row]].tolist()
        return tokens

    def extend(self, step: Step, done: Bool[Tensor, " B"]) -> "Context":
        """Append what a step decided."""
        lengths, decided = array(self.lengths) + array(step.lengths), array(step.tokens)
        longer = max(lengths.max() - self.tokens.shape[1], 0)
        tokens = np.concatenate([array(self.tokens), np.full((len(decided), longer), PADDING)], 1)
        for row, (start, end) in enumerate(zip(self.lengths.tolist(), lengths.tolist(), strict=True)):
            tokens[row, start:end] = decided[row, : end - start]
        return Context(
            torch.from_numpy(tokens),
            torch.from_numpy(lengths),
            self.limits,
            torch.from_numpy(array(self.done) | array(done)),
            self.sampling,
            step,
            self.chance,
        )
