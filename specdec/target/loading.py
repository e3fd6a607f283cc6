"""Models and tokenizers from a folder or the hub."""

from os import PathLike
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from specdec.errors import ModelError, OptionError
from specdec.kinds import check_kind
from specdec.target.attention import use_grouped
from specdec.target.half import pack_weights

__all__ = ["Name", "load_generation_config", "load_model", "load_tokenizer", "model_folder"]

Name = str | PathLike[str]
"""A folder, a GGUF file, or a name on the hub."""


def load_model(
    name: Name, device: str | torch.device | None = None, *, weights: str = "auto", **options: Any
) -> PreTrainedModel:
    """Load a causal language model onto a device; `options` go to transformers.

    On a CPU models compute in float32: half precision, float16 and bfloat16 alike, becomes that unless a `dtype` is
    among the options. Weights that were stored in half precision are read in it all the same, by products for which
    torch then has no gradients: `weights` is `auto` for those that lose nothing by it, `half` for all or an error,
    `full` for none.

    Raises:
        ModelError: there is no such model, or transformers cannot load it.
        OptionError: there is no such device here, or no such choice of weights for this model; or the name is no name,
            or transformers does not take the options.
    """
    name = model_folder(name)
    place = None if device is None else find_device(device)
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(name, **options)
    except (OSError, ValueError) as error:
        raise _cannot("model", name, error) from error
    except (AttributeError, TypeError) as error:
        if not options:
            raise
        raise OptionError(f"expected options that transformers takes, got {options}: {error}") from error
    if place is not None:
        model = model.to(place)
    if "dtype" not in options and model.dtype in (torch.float16, torch.bfloat16) and model.device.type == "cpu":
        model = model.float()
    if "attn_implementation" not in options:
        use_grouped(model)
    pack_weights(model, weights)
    return model


def model_folder(name: Name) -> Name:
    """Convert a GGUF file into a folder; anything else stays as it is.

    Raises:
        ModelError: the file is not there, or transformers cannot read it.
        OptionError: it is no name.
    """
    check_kind(name, str | PathLike, "a folder, a GGUF file, or a name on the hub")
    if not str(name).endswith(".gguf"):
        return name
    from specdec.target.gguf import converted

    return converted(Path(name))


def find_device(name: str | torch.device) -> torch.device:
    """Find a device, as torch names it.

    Raises:
        OptionError: it is not here.
    """
    here = ["cpu"]
    if accelerator := torch.accelerator.is_available() and torch.accelerator.current_accelerator():
        kind = accelerator.type
        here += [kind, *(f"{kind}:{number}" for number in range(torch.accelerator.device_count()))]
    if str(name) not in here:
        raise OptionError(f"expected a device that is here, {' or '.join(here)}, got {str(name)!r}")
    return torch.device(name)


def load_tokenizer(name: Name) -> PreTrainedTokenizerBase:
    """Load the tokenizer that belongs to a model.

    Raises:
        ModelError: there is none.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(model_folder(name))
        if len(tokenizer) <= len(tokenizer.added_tokens_decoder):  # what transformers makes where there are no files
            raise ValueError("it has no tokens but special ones")
    except (ModelError, OptionError):
        raise
    except Exception as error:  # of many kinds, where files are missing
        needless = f"; for token ids, Target(load_model({str(name)!r})) needs none" if Path(name).exists() else ""
        raise ModelError(f"{_cannot('tokenizer', name, error)}{needless}") from error
    return tokenizer


def load_generation_config(name: Name) -> GenerationConfig:
    """Load how a model is decoded by default, without the model: as transformers does it with one.

    Raises:
        ModelError: there is no such model.
    """
    folder = model_folder(name)
    try:
        return GenerationConfig.from_pretrained(folder)
    except OSError:  # old models have it in their configuration
        pass
    try:
        return GenerationConfig.from_pretrained(folder, config_file_name="config.json", _from_model_config=True)
    except OSError as error:
        raise _cannot("generation config", name, error) from error


def _cannot(what: str, name: Name, error: Exception) -> ModelError:
    missing = str(name).startswith(("/", ".", "~")) and not Path(name).exists()
    reason = "there is no such folder" if missing else str(error).strip().partition("\n")[0].rstrip(": ")
    return ModelError(f"no {what} can be loaded from {str(name)!r}: {reason}")
