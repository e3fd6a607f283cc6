"""The processors that transformers' `generate` itself makes of plain options, in its order and on its conditions."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from transformers import GenerationConfig, GenerationMixin, LogitsProcessorList

from specdec.errors import OptionError

PROCESSORS: dict[str, Any] = {
    "sequence_bias": None,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "bad_words_ids": None,
    "min_length": 0,
    "min_new_tokens": 0,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "remove_invalid_values": False,
    "exponential_decay_length_penalty": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "renormalize_logits": False,
}
"""Options that change scores for the tokens before, and their values that change nothing."""
FILTERS: dict[str, Any] = {
    "top_h": None,
    "top_k": None,
    "top_p": 1.0,
    "min_p": None,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
}
"""Options that cut unlikely tokens, when sampling, and their values that cut none."""
SPANNED = {
    "bad_words_ids",
    "min_length",
    "min_new_tokens",
    "forced_eos_token_id",
    "exponential_decay_length_penalty",
    "begin_suppress_tokens",
}
"""Options that need to know where the text begins, may end, or by which tokens."""


_NO_TOKEN = 2**31 - 1


class _Builder(GenerationMixin):
    """Builds processors without a model: all that is asked of it is whether it has an encoder."""

    config = SimpleNamespace(is_encoder_decoder=False)


def build(
    options: Mapping[str, Any],
    device: torch.device | None = None,
    *,
    prompt_length: int = 1,
    max_length: int | None = None,
    eos_token_id: tuple[int, ...] = (),
) -> LogitsProcessorList:
    """Build the processors of some of these options, for one row.

    Raises:
        ValueError: an option has a value that transformers refuses.
    """
    values = as_lists(options)
    if "min_new_tokens" in values:
        values.pop("min_length", None)  # as `generate` has it
    ends = [[end] for end in eos_token_id]
    if all(word in ends for word in values.get("bad_words_ids") or ()):  # end tokens are none, and no others are left
        values.pop("bad_words_ids", None)
    if not eos_token_id:
        values.pop("exponential_decay_length_penalty", None)
    if max_length is None:
        values.pop("forced_eos_token_id", None)
    sampled = not values.keys().isdisjoint(FILTERS)
    config = GenerationConfig(**values, max_length=max_length, do_sample=sampled)
    config._eos_token_tensor = torch.tensor(eos_token_id, device=device) if eos_token_id else None
    return _Builder()._get_logits_processor(config, input_ids_seq_length=prompt_length, device=device)


def check(options: Mapping[str, Any]) -> None:
    """Check options by building their processors.

    Raises:
        OptionError: an option has a value that transformers refuses.
    """
    if not options.keys() - {"repetition_penalty", "top_k", "top_p", "min_p"}:
        return
    try:
        build(options, max_length=2, eos_token_id=(_NO_TOKEN,))
    except (TypeError, ValueError) as error:
        raise OptionError(f"expected options that transformers can follow, got {dict(options)}: {error}") from error


def as_lists(options: Mapping[str, Any]) -> dict[str, Any]:
    """Write tuples as the lists that transformers wants."""
    return {name: _as_list(value) for name, value in options.items()}


def _as_list(value: Any) -> Any:
    return [_as_list(part) for part in value] if isinstance(value, tuple) else value
