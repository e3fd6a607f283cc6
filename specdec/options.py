"""How the target is sampled, and when a sequence ends."""

from collections.abc import Sequence

from attrs import evolve, field, frozen
from transformers import LogitsProcessor

from specdec.bounds import bounds
from specdec.errors import OptionError


def _tokens_or_none(tokens: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if tokens is None else tuple(int(token) for token in tokens)


def _strings(strings: str | Sequence[str]) -> tuple[str, ...]:
    return (strings,) if isinstance(strings, str) else tuple(strings)


_LARGEST = 3.4e38  # of single precision


@frozen(cache_hash=True)
class Sampling:
    """How the target is sampled; the distribution is that of transformers' `generate` with these options.

    Temperature 0 is greedy. `processors` are transformers' own or yours, applied after the repetition penalty
    and before temperature, top-k, top-p and min-p; each must be a pure function of the row's tokens
    and scores. The text depends on `seed` and on nothing else that is random.
    """

    temperature: float = field(default=0.0, validator=bounds(0, _LARGEST))
    top_k: int | None = field(default=None, validator=bounds(1))
    top_p: float | None = field(default=None, validator=bounds(0, 1, above=True))
    min_p: float | None = field(default=None, validator=bounds(0, 1))
    repetition_penalty: float = field(default=1.0, validator=bounds(0, _LARGEST, above=True))
    processors: tuple[LogitsProcessor, ...] = field(default=(), converter=tuple)
    seed: int = field(default=0, validator=bounds(0, 2**64 - 1))

    def spread(self, rows: int) -> tuple["Sampling", ...]:
        """Give each of several prompts its own: row i is what its prompt alone gets with `seed + i`."""
        return tuple(evolve(self, seed=(self.seed + row) % 2**64) for row in range(rows))


@frozen
class Stop:
    """When a row is done: after `max_tokens` new tokens, or the token that ends the text.

    An end token or the token that completes a stop string is the row's last. Without `tokens` the
    model's own end tokens count; `()` is none.
    """

    max_tokens: int | None = field(default=None, validator=bounds(1))
    tokens: tuple[int, ...] | None = field(default=None, converter=_tokens_or_none)
    strings: tuple[str, ...] = field(default=(), converter=_strings)

    @strings.validator
    def _not_empty(self, _: object, strings: tuple[str, ...]) -> None:
        if "" in strings:
            raise OptionError("expected stop strings of at least one character, got ''")
