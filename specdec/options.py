"""How the target is sampled, and when a sequence ends."""

from collections.abc import Sequence
from typing import Any

from attrs import evolve, field, frozen
from transformers import LogitsProcessor

from specdec.errors import OptionError


def _tokens_or_none(tokens: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if tokens is None else tuple(int(token) for token in tokens)


def _strings(strings: str | Sequence[str]) -> tuple[str, ...]:
    return (strings,) if isinstance(strings, str) else tuple(strings)


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
    """How the target is sampled; the distribution is that of transformers' `generate` with these options.

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
