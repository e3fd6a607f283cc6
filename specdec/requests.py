"""What a caller asks of a batch, made into one thing for each sequence."""

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from specdec.errors import OptionError
from specdec.options import Sampling, Span, Stop
from specdec.processors import SPANNED


def samplings_for(sampling: Sampling | Sequence[Sampling], count: int) -> tuple[Sampling, ...]:
    """Spread one `Sampling` over the sequences, or take one for each.

    Raises:
        OptionError: it is something else, or there are not as many as sequences.
    """
    if isinstance(sampling, Sampling):
        return sampling.spread(count)
    if isinstance(sampling, Stop):
        raise OptionError(f"expected a Sampling before the Stop; got {sampling}: write generate(prompts, stop=...)")
    return _each(sampling, count, Sampling, "temperature=1.0")


def stops_for(stop: Stop | Sequence[Stop], count: int) -> tuple[Stop, ...]:
    """Take one `Stop` for all sequences, or one for each.

    Raises:
        OptionError: it is something else, or there are not as many as sequences.
    """
    return (stop,) * count if isinstance(stop, Stop) else _each(stop, count, Stop, 'max_tokens=100, strings="\\n"')


def with_span(sampling: Sampling, stop: Stop, prompt: Sequence[int], limit: int, end_tokens: Sequence[int]) -> Sampling:
    """Say where the text begins and ends to options that look at that."""
    if sampling.span is not None or SPANNED.isdisjoint(sampling.processing):
        return sampling
    return evolve(sampling, span=Span(len(prompt), limit, tuple(end_tokens if stop.tokens is None else stop.tokens)))


def check_vocabulary(sampling: Sampling, vocab_size: int) -> None:
    """Check that the tokens that are to be favoured, forbidden or forced are the target's.

    Raises:
        OptionError: the message names an id that is not.
    """
    forced = (sampling.forced_bos_token_id or 0, *(sampling.forced_eos_token_id or ()))
    biased = (tokens for tokens, _ in sampling.sequence_bias or ())
    largest = max(token for tokens in (forced, *biased, *(sampling.bad_words_ids or ())) for token in tokens)
    if largest >= vocab_size:
        raise OptionError(f"expected sampling options to name token ids from 0 to {vocab_size - 1}, got {largest}")


def _each(values: Any, count: int, kind: type, example: str) -> tuple[Any, ...]:
    name = kind.__name__
    if not isinstance(values, list | tuple) or not all(isinstance(value, kind) for value in values):
        raise OptionError(f"expected a {name}, as {name}({example}), or a list of one for each prompt; got {values!r}")
    if len(values) != count:
        raise OptionError(f"expected a {name.lower()} for each of {count} prompts, got {len(values)}")
    return tuple(values)
