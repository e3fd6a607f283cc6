"""What a head borrows of its target: embedding, last layers, final norm and output head."""

import torch
from attrs import evolve, frozen
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from specdec.drafters.borrowed import Borrowed, check_family
from specdec.errors import ModelError, UnsupportedModel
from specdec_moa.weights import fill


@frozen(eq=False)
class TargetParts(Borrowed):
    """With embedding and output head also the final norm, the rotary embedding and the last N `layers`."""

    layers: tuple[nn.Module, ...]
    norm: nn.Module
    rotary: nn.Module

    @classmethod
    def of(cls, model: PreTrainedModel, layers: int = 0) -> "TargetParts":
        """Take the parts of a loaded model.

        Raises:
            UnsupportedModel: it is of a family that was never tried, or has fewer layers than that.
        """
        config, base = model.config.get_text_config(), model.base_model
        _check(config, layers)
        last = tuple(base.layers[config.num_hidden_layers - layers :])
        embed, head = model.get_input_embeddings(), model.get_output_embeddings()
        return cls(config, embed, head, last, base.norm, base.rotary_emb)

    @classmethod
    def read(cls, path: str, layers: int = 0, device: str | torch.device = "cpu") -> "TargetParts":
        """Load the parts alone, from a folder or the hub: a target that is elsewhere need not be held whole.

        Raises:
            UnsupportedModel: as `of` does.
            WrongCheckpoint: the files are damaged, lack a tensor, or are no safetensors.
            ModelError: there is no such model.
        """
        config, place = read_config(path), torch.device(device)
        _check(config, layers)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
        parts = cls.of(model, layers)
        tied = parts.head.weight is parts.embed.weight
        wanted = [parts.embed, *parts.layers, parts.norm, *(() if tied else (parts.head,))]
        fill({name: module for name, module in model.named_modules() if module in wanted}, path, place)
        if tied:
            parts.head.weight = parts.embed.weight
        with place:
            return evolve(parts, rotary=type(parts.rotary)(parts.config))

    @property
    def first(self) -> int:
        """The target's own number of the first of the last layers."""
        return int(self.config.num_hidden_layers) - len(self.layers)

    @property
    def windows(self) -> tuple[int | None, ...]:
        """How far back each of the last layers sees; None is all the way."""
        sliding = getattr(self.config, "sliding_window", None)
        named = getattr(self.config, "layer_types", None)
        if named is None:
            return (sliding,) * len(self.layers)
        return tuple(sliding if kind == "sliding_attention" else None for kind in named[self.first :])


def _check(config: PreTrainedConfig, layers: int) -> None:
    check_family(config)
    if not 0 <= layers < config.num_hidden_layers:
        raise UnsupportedModel(
            f"expected target layer inference with 0 to {config.num_hidden_layers - 1} layers, got {layers}"
        )


def read_config(path: str) -> PreTrainedConfig:
    """Read what a target is made of, from a folder or the hub.

    Raises:
        ModelError: there is no such model.
    """
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(path).get_text_config()
    except (OSError, ValueError) as error:
        raise ModelError(f"no model can be read from {path!r}: {str(error).strip().splitlines()[0]}") from error
    return config
