"""What a target's generation config asks for and a decoder does not do."""

from typing import Any

from attrs import fields
from transformers import GenerationConfig

from specdec.errors import OptionError
from specdec.options import Sampling, Stop

UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "num_beams": (1,),
    "num_beam_groups": (1,),
    "num_return_sequences": (1,),
    "diversity_penalty": (0.0,),
    "penalty_alpha": (0.0,),
    "dola_layers": (),
    "guidance_scale": (1.0,),
    "encoder_repetition_penalty": (1.0,),
    "encoder_no_repeat_ngram_size": (0,),
    "watermarking_config": (),
    "token_healing": (False,),
    "constraints": (),
    "force_words_ids": (),
    "max_time": (),
}
"""Options of `generate` for which there is nothing here, and their values that change no text."""


def differences(config: GenerationConfig | None, sampling: Sampling, stop: Stop) -> str | None:
    """Say in one line what of a generation config is not followed, None if all is.

    An option counts as not followed if the config asks for it, and the caller says nothing of it.
    """
    try:
        omissions = _omissions(config, sampling)
    except OptionError as error:
        return f"the target's generation config cannot be followed: {error}"
    missing = {name: getattr(config, name, None) for name in UNSUPPORTED}
    missing = {name: value for name, value in missing.items() if value is not None and value not in UNSUPPORTED[name]}
    if not stop.strings and (strings := getattr(config, "stop_strings", None)):
        omissions["stop_strings"] = strings
    if stop.max_tokens is None:
        lengths = {name: getattr(config, name, None) for name in ("max_new_tokens", "max_length")}
        omissions |= {name: length for name, length in lengths.items() if length is not None}
    parts = []
    if omissions:
        parts.append(f"{_listed(omissions)}; Sampling.of(model.generation_config) and Stop(...) follow it")
    if missing:
        parts.append(f"{_listed(missing)}; nothing here follows that")
    return f"the target's generation config asks for {', and for '.join(parts)}" if parts else None


def _omissions(config: GenerationConfig | None, sampling: Sampling) -> dict[str, Any]:
    wanted = Sampling.of(config)
    defaults = {field.name: field.default for field in fields(Sampling)}
    asked = {name: getattr(wanted, name) for name, default in defaults.items() if getattr(wanted, name) != default}
    omissions = {name: value for name, value in asked.items() if getattr(sampling, name) == defaults[name]}
    greedy = [*omissions] == ["temperature"] and len(asked) > 1  # on purpose, for all else is followed
    return {} if greedy else omissions


def _listed(options: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in options.items())
