"""What a head learns from: a batch of texts, and what the target computed of them."""

from collections.abc import Sequence
from typing import Any

import torch
from attrs import frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from specdec.features import Features, Needs
from specdec.target.support import capture, decoder_layers


@frozen(eq=False)
class Batch:
    """Texts, padded on the right; `response` marks the tokens whose prediction is learnt from.

    `indices` are the texts' places in the data set, for what is drawn at random of each.
    """

    tokens: Int[Tensor, "B T"]
    real: Bool[Tensor, "B T"]
    response: Bool[Tensor, "B T"]
    indices: Int[Tensor, " B"]

    @property
    def positions(self) -> Int[Tensor, "B T"]:
        """Positions of the tokens; padding repeats the last."""
        return (self.real.cumsum(1) - 1).clamp(min=0)

    def to(self, device: torch.device) -> "Batch":
        """Move to a device."""
        return Batch(*(part.to(device) for part in (self.tokens, self.real, self.response, self.indices)))


@frozen(eq=False)
class TeacherBatch:
    """Texts with the target's features, each of the token at its own place, and its last state after the norm."""

    texts: Batch
    features: Features
    last: Float[Tensor, "B T E"]


class Teacher:
    """Runs a target, unmodified and never trained, for what a head needs of it."""

    def __init__(self, model: PreTrainedModel, needs: Needs) -> None:
        self.model = model.eval().requires_grad_(False)
        self._layers, self._hidden = decoder_layers(model), needs.hidden_states
        self._recorded = [range(len(self._layers))[layer] for layer in needs.keys_values]

    @torch.no_grad()
    def read(self, batch: Batch) -> TeacherBatch:
        """Run the target over a batch, without its output head."""
        cache, recorded = _Recorder(self._recorded), bool(self._recorded)
        with capture(self.model, self._layers, self._hidden) as captured:
            last = self.model.base_model(  # padding stands last, so that nothing but padding could see it
                input_ids=batch.tokens, past_key_values=cache if recorded else None, use_cache=recorded
            ).last_hidden_state
        hidden = torch.stack([captured[index] for index in self._hidden], 2) if self._hidden else None
        return TeacherBatch(batch, Features(hidden, cache.keys, cache.values), last)


class _Recorder(DynamicCache):
    """Stores the keys and values of some layers, as they come, in two tensors: `[B, T, L, H, D]`."""

    def __init__(self, layers: Sequence[int]) -> None:
        super().__init__()
        self._places = {layer: place for place, layer in enumerate(layers)}
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if layer_idx in self._places:
            place = self._places[layer_idx]
            self.keys = self._with(self.keys, place, key_states)
            self.values = self._with(self.values, place, value_states)
        return key_states, value_states

    def _with(self, all_layers: Tensor | None, place: int, states: Float[Tensor, "B H T D"]) -> Float[Tensor, "..."]:
        """Write a layer's states to their place, so that they are never held twice."""
        batch, heads, tokens, size = states.shape
        if all_layers is None:
            all_layers = states.new_empty(batch, tokens, len(self._places), heads, size)
        all_layers[:, :, place] = states.transpose(1, 2)
        return all_layers
