"""The part of a head that runs beside the target: layer self-attention, and what crosses over of it."""

from functools import cached_property

import torch
from attrs import frozen
from jaxtyping import Float
from torch import Tensor

from specdec import Encoder, Features, OptionError
from specdec.heads import KeysValues, SplitLayer, drafting_copy, split_heads, weights_digest
from specdec_moa.model import MoAModel

CHUNK = 128
"""Tokens of all sequences together whose memory is made at a time: each brings keys and values of all layers."""
CUTS = ("projected", "memory", "raw")


@frozen(eq=False)
class MoAFeatures:
    """Keys and values of decided tokens, of the cross-attention and of the target's last layers.

    The cross-attention's keys are not rotated yet, for the target's side does not know their positions.
    """

    memory: KeysValues
    keys: Float[Tensor, "B K N H D"]
    values: Float[Tensor, "B K N H D"]


class MoAEncoder(Encoder):
    """Packs, for each token, the memory and the keys and values of the last `layers` target layers.

    Cut `projected` sends the cross-attention's keys and values, `memory` the vector they are made of. For Llama 3 8B
    these are 1,024 and 4,096 numbers per token, where keys and values of all layers are 65,536.
    """

    def __init__(self, model: MoAModel, layers: int = 0, cut: str = "projected") -> None:
        """Use copies of the weights as they are now.

        Raises:
            OptionError: there is no such cut.
        """
        if cut not in CUTS:
            raise OptionError(f"expected a cut of {', '.join(CUTS)}, got {cut!r}")
        self.model, self.layers, self.cut = model, layers, cut
        self._cross_attention = drafting_copy(SplitLayer.of(model.cross_attention))
        layer = None if model.config.disable_LSA else SplitLayer.of(model.layer_self_attention)
        self._layer_self_attention = layer and drafting_copy(layer)

    @cached_property
    def digest(self) -> str:
        parts = [self.model.cross_attention]
        if not self.model.config.disable_LSA:
            parts += [self.model.layer_self_attention, self.model.Ekv2E]
        return weights_digest(*parts, cut=self.cut, layers=self.layers)

    def encode(self, features: Features) -> Float[Tensor, "B K W"]:
        memory = self.remember(features)
        if self.cut == "projected":
            heads = self._cross_attention.keys_values(memory)
            memory = torch.cat([part.transpose(1, 2).flatten(2) for part in heads], -1)
        tails = self._last(features) if self.layers else ()
        return torch.cat([memory, *(part.flatten(2).to(memory) for part in tails)], -1)

    def decode(self, features: Features, heads: int, size: int) -> MoAFeatures:
        """Unpack what crossed over; `heads` of `size` are those of the target's keys and values."""
        if features.encoded is None:
            return MoAFeatures(self._cross_attention.keys_values(self.remember(features)), *self._last(features))
        count, width = self.layers * heads * size, features.encoded.shape[-1]
        encoded, keys, values = torch.split(
            features.encoded.to(self.model.dtype), [width - 2 * count, count, count], -1
        )
        keys, values = (part.view(*part.shape[:2], self.layers, heads, size) for part in (keys, values))
        return MoAFeatures(self._projected(encoded), keys, values)

    def remember(self, features: Features) -> Float[Tensor, "B K E"]:
        """Make the memory of each token, a chunk at a time."""
        if self.model.config.disable_LSA:
            if features.hidden is None:
                raise OptionError("expected the target's last hidden state for a head without layer self-attention")
            return features.hidden[:, :, 0].to(self.model.dtype)
        if features.keys is None or features.values is None:
            raise OptionError("expected keys and values of all layers of the target, got none")
        step, dtype = max(CHUNK // max(len(features.keys), 1), 1), self.model.dtype
        chunks = zip(torch.split(features.keys, step, 1), torch.split(features.values, step, 1), strict=True)
        memories = [
            self.model.remember(keys.to(dtype), values.to(dtype), self._layer_self_attention) for keys, values in chunks
        ]
        return torch.cat(memories, 1)

    def _projected(self, encoded: Float[Tensor, "B K W"]) -> KeysValues:
        if self.cut == "memory":
            return self._cross_attention.keys_values(encoded)
        keys, values = encoded.chunk(2, -1)
        size = self.model.config.head_dim
        return split_heads(keys, size), split_heads(values, size)

    def _last(self, features: Features) -> tuple[Tensor, Tensor]:
        if features.keys is None or features.values is None:  # no layer is read
            nothing = torch.zeros(0, device=self.model.device)
            return nothing, nothing
        start = features.keys.shape[2] - self.layers
        return features.keys[:, :, start:], features.values[:, :, start:]
