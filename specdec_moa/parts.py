"""What a head borrows of its target: embedding, last layers, final norm and output head."""

from collections.abc import Callable
from typing import Any

import torch
from attrs import frozen
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from specdec.errors import UnsupportedModel

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
MaskFor = Callable[[int | None], Tensor]
"""Builds the additive mask `[R, 1, M, C]` of a layer from the width of its sliding window."""


@frozen(eq=False)
class TargetParts:
    """The target's own modules, shared and never trained; `layers` are its last N."""

    config: PreTrainedConfig
    embed: nn.Module
    layers: tuple[nn.Module, ...]
    norm: nn.Module
    rotary: nn.Module
    head: nn.Module

    @classmethod
    def of(cls, model: PreTrainedModel, layers: int = 0) -> "TargetParts":
        """Take the parts of a loaded model.

        Raises:
            UnsupportedModel: it is of a family that was never tried, or has fewer layers than that.
        """
        config, base = model.config.get_text_config(), model.base_model
        if config.model_type not in FAMILIES:
            raise UnsupportedModel(f"expected a target of {', '.join(FAMILIES)} for MoA, got {config.model_type}")
        if not 0 <= layers < config.num_hidden_layers:
            raise UnsupportedModel(
                f"expected target layer inference with 0 to {config.num_hidden_layers - 1} layers, got {layers}"
            )
        last = tuple(base.layers[config.num_hidden_layers - layers :])
        head = model.get_output_embeddings()
        return cls(config, model.get_input_embeddings(), last, base.norm, base.rotary_emb, head)

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

    def finish(
        self,
        states: Float[Tensor, "R M E"],
        positions: Int[Tensor, "R M"],
        mask: MaskFor,
        cache: Any = None,
    ) -> Float[Tensor, "R M E"]:
        """Run the last layers and the final norm on what the head gave for their input.

        Without such layers the head predicts what leaves the norm, so nothing is left to do.
        """
        if not self.layers:
            return states
        rotary = self.rotary(states, positions)
        for layer, window in zip(self.layers, self.windows, strict=True):
            states = layer(
                states,
                attention_mask=mask(window),
                position_ids=positions,
                past_key_values=cache,
                use_cache=cache is not None,
                position_embeddings=rotary,
            )
        normed: Tensor = self.norm(states)
        return normed
