"""What a head that drafts for a target takes of it, and how it knows it again."""

import hashlib
import json
from typing import Any

import torch
from attrs import frozen
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from specdec.errors import UnsupportedModel, WrongCheckpoint

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
_SIZES = ("model_type", "hidden_size", "num_hidden_layers", "num_key_value_heads", "vocab_size")


@frozen(eq=False)
class Borrowed:
    """The target's own embedding and output head, shared and never trained."""

    config: PreTrainedConfig
    embed: nn.Module
    head: nn.Module

    @classmethod
    def of(cls, model: PreTrainedModel) -> "Borrowed":
        """Take the parts of a loaded model.

        Raises:
            UnsupportedModel: it is of a family that was never tried.
        """
        config = model.config.get_text_config()
        check_family(config)
        return cls(config, model.get_input_embeddings(), model.get_output_embeddings())

    @property
    def dtype(self) -> torch.dtype:
        """The type of the target's weights."""
        dtype: torch.dtype = next(self.head.parameters()).dtype
        return dtype

    @property
    def device(self) -> torch.device:
        """Where the target is."""
        device: torch.device = next(self.head.parameters()).device
        return device


def check_family(target: PreTrainedConfig) -> None:
    """Check that heads were tried with such targets.

    Raises:
        UnsupportedModel: they were not.
    """
    if target.model_type not in FAMILIES:
        raise UnsupportedModel(f"expected a target of {', '.join(FAMILIES)}, got {target.model_type}")


def fingerprint(target: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase | None = None) -> dict[str, Any]:
    """Describe a target by its sizes, and its vocabulary by a hash, to know it again."""
    known = {name: getattr(target, name) for name in _SIZES}
    if tokenizer is not None:
        known["vocabulary"] = hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest()
    return known


def check_made_for(made_for: dict[str, Any], found: dict[str, Any], path: str) -> None:
    """Check that a head was made for a target, as far as either says.

    Raises:
        WrongCheckpoint: the message says in what they differ.
    """
    for name, value in made_for.items():
        if name in found and found[name] != value:
            raise WrongCheckpoint(
                f"expected a head for a target with {name} {found[name]}, got {path}, made for {name} {value}"
            )
