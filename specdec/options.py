"""How the target is sampled, and when a sequence ends."""

from math import inf
from typing import Any

from attrs import evolve, field, fields, frozen
from transformers import GenerationConfig, LogitsProcessor

from specdec import converters
from specdec.bounds import bounds
from specdec.errors import OptionError
from specdec.processors import FILTERS, PROCESSORS, check

_LARGEST = 3.4e38  # of single precision
_TOP_K = 50
"""What `generate` samples among where a generation config does not say."""


def _number(default: Any, low: int | float, high: int | float = inf, *, above: bool = False) -> Any:
    return field(default=default, converter=converters.scalar, validator=bounds(low, high, above=above))


def _flag() -> Any:
    return field(default=False, converter=converters.scalar, validator=_is_flag)


def _is_flag(_: object, attribute: Any, value: Any) -> None:
    if not isinstance(value, bool):
        raise OptionError(f"expected {attribute.name} to be True or False, got {value!r}")


def _identities(processors: tuple[LogitsProcessor, ...]) -> tuple[int, ...]:
    return tuple(map(id, processors))


@frozen
class Span:
    """Where a text begins and may end, counted in tokens from the start of its prompt, and what ends it."""

    prompt_length: int
    max_length: int | None = None
    eos_token_id: tuple[int, ...] = ()


@frozen(cache_hash=True, repr=False)
class Sampling:
    """How the target is sampled; the distribution is that of transformers' `generate` with these options.

    Temperature 0 is greedy. All options but the seed have `generate`'s own names and meanings. `processors` are
    transformers' own or yours, applied after those that the options stand for and before temperature and what cuts
    unlikely tokens; each must depend on the row's tokens and scores alone, or be one row's only. Two samplings are
    equal if they have the very same processors. The text depends on `seed` and on nothing else that is random.

    Raises:
        OptionError: an option has a value that means nothing.
    """

    temperature: float = _number(0.0, 0, _LARGEST)
    top_k: int | None = _number(None, 1)
    top_p: float | None = _number(None, 0, 1, above=True)
    min_p: float | None = _number(None, 0, 1)
    repetition_penalty: float = _number(1.0, 0, _LARGEST, above=True)
    processors: tuple[LogitsProcessor, ...] = field(default=(), converter=converters.callables, eq=_identities)
    seed: int = _number(0, 0, 2**64 - 1)
    sequence_bias: tuple[tuple[tuple[int, ...], float], ...] | None = field(
        default=None, converter=converters.token_biases
    )
    no_repeat_ngram_size: int | None = _number(None, 0)
    bad_words_ids: tuple[tuple[int, ...], ...] | None = field(default=None, converter=converters.token_sequences)
    min_length: int | None = _number(None, 0)
    min_new_tokens: int | None = _number(None, 0)
    forced_bos_token_id: int | None = _number(None, 0)
    forced_eos_token_id: tuple[int, ...] | None = field(default=None, converter=converters.token_ids)
    remove_invalid_values: bool = _flag()
    exponential_decay_length_penalty: tuple[int, float] | None = field(default=None, converter=converters.length_decay)
    suppress_tokens: tuple[int, ...] | None = field(default=None, converter=converters.token_ids)
    begin_suppress_tokens: tuple[int, ...] | None = field(default=None, converter=converters.token_ids)
    renormalize_logits: bool = _flag()
    top_h: float | None = _number(None, 0, 1, above=True)
    typical_p: float | None = _number(None, 0, 1, above=True)
    epsilon_cutoff: float | None = _number(None, 0, 1)
    eta_cutoff: float | None = _number(None, 0, 1)
    span: Span | None = field(default=None, repr=False)
    """Filled in by `Decoder`, for options that look at the text's length or its end tokens."""

    def __attrs_post_init__(self) -> None:
        check({**self.processing, **self.filtering})

    def __repr__(self) -> str:
        values = ((each, getattr(self, each.name)) for each in fields(Sampling) if each.repr)
        return f"Sampling({', '.join(f'{each.name}={value!r}' for each, value in values if value != each.default)})"

    @classmethod
    def of(cls, config: GenerationConfig | None, **changes: Any) -> "Sampling":
        """Sample as `generate` would with this generation config, apart from `changes`.

        A config that samples has a `top_k` of 50 unless it names another. A temperature among the changes overrides
        `do_sample`; if the config itself does not sample, only the filters that it names apply. Other ways of decoding,
        such as beams, are ignored.
        """
        names = {*PROCESSORS, *FILTERS, "temperature"}
        values = {name: getattr(config, name, None) for name in names}
        if getattr(config, "do_sample", None):
            values["top_k"] = values["top_k"] if values["top_k"] is not None else _TOP_K
            values["temperature"] = 1.0 if values["temperature"] is None else values["temperature"]
        else:
            values["temperature"] = 0.0
            if not changes.get("temperature"):
                values |= dict.fromkeys(FILTERS)
        wanted = {name: value for name, value in values.items() if value is not None} | changes
        return cls(**{name: value for name, value in wanted.items() if (name, value) != ("top_k", 0)})

    @property
    def processing(self) -> dict[str, Any]:
        """The options that change scores for the tokens before, by name, where they do."""
        return self._chosen(PROCESSORS)

    @property
    def filtering(self) -> dict[str, Any]:
        """The options that cut unlikely tokens when sampling, by name, where they do."""
        return self._chosen(FILTERS) if self.temperature > 0 else {}

    def spread(self, rows: int) -> tuple["Sampling", ...]:
        """Give each of several prompts its own: row i is what its prompt alone gets with `seed + i`."""
        return tuple(evolve(self, seed=(self.seed + row) % 2**64) for row in range(rows))

    def _chosen(self, neutral: dict[str, Any]) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in neutral}
        return {name: value for name, value in values.items() if value is not None and value != neutral[name]}


@frozen
class Stop:
    """When a row is done: after `max_tokens` new tokens, or the token that ends the text.

    An end token or the token that completes a stop string is the row's last. Without `tokens` the
    model's own end tokens count; `()` is none.

    Raises:
        OptionError: an option has a value that means nothing.
    """

    max_tokens: int | None = _number(None, 1)
    tokens: tuple[int, ...] | None = field(default=None, converter=converters.token_ids)
    strings: tuple[str, ...] = field(default=(), converter=converters.texts)

    @strings.validator
    def _not_empty(self, _: object, strings: tuple[str, ...]) -> None:
        if "" in strings:
            raise OptionError("expected stop strings of at least one character, got ''")
