"""The head itself: three attentions, and nothing of the target."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.initialization import normal_
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm, LlamaRotaryEmbedding
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2RMSNorm

from specdec.heads import HeadModel, SplitLayer, attend, joined, rotate
from specdec_moa.config import MoAConfig

LARGE = 2**22
"""Numbers in the states of a batch above which training computes each layer over tokens a second time."""


class MoAModel(HeadModel):
    """Layer self-attention makes a memory of what the target computed; cross-attention reads it while drafting.

    Zimmer et al., "Mixture of Attentions For Speculative Decoding", arXiv 2410.03804, section 3.
    Embedding, output head and, for target layer inference, the last layers are the target's and stand outside.
    """

    config_class = MoAConfig
    _no_split_modules = ("LlamaDecoderLayer", "Qwen2DecoderLayer")

    def __init__(self, config: MoAConfig) -> None:
        super().__init__(config)
        self.self_attention = _layer(config.block("self_attention"))
        self.cross_attention = _layer(config.block("cross_attention"))
        self.self_rotary = LlamaRotaryEmbedding(config.block("self_attention"))
        self.cross_rotary = LlamaRotaryEmbedding(config.block("cross_attention"))
        if not config.disable_LSA:
            self.layer_self_attention = _layer(config.block("layer_self_attention"))
            self.layer_rotary = LlamaRotaryEmbedding(config.block("layer_self_attention"))
            self.Ekv2E = nn.Linear(config.kv_hidden_size, config.hidden_size)
        self.post_init()

    def forward(
        self,
        embedded: Float[Tensor, "B T E"],
        memory: Float[Tensor, "B T E"],
        positions: Int[Tensor, "B T"],
        own: Bool[Tensor, "B T T"],
        remembered: Bool[Tensor, "B T T"],
    ) -> Float[Tensor, "B T E"]:
        """Predict the target's feature after each of the embedded tokens, all at once.

        Token i sees token j where `own` is true at [i, j], and the target's memory of it where `remembered` is.
        """
        states = recomputed(self._read_tokens, embedded, positions, own)
        return recomputed(self._read_memory, states, memory, positions, remembered)

    def remember(
        self, keys: Float[Tensor, "B K L H D"], values: Float[Tensor, "B K L H D"], layer: SplitLayer | None = None
    ) -> Float[Tensor, "B K E"]:
        """Make each token's memory of its keys, after rotary embedding, and values in all layers of the target."""
        memory: Tensor = self.Ekv2E(self.mix_layers(pack(keys, values), layer))
        return memory

    def mix_layers(self, packed: Float[Tensor, "B K L W"], layer: SplitLayer | None = None) -> Float[Tensor, "B K W"]:
        """Let the layers of each token see each other, both ways, and take their mean; tokens do not mix.

        `layer` is a copy of the layer self-attention, from whoever has one.
        """
        layer, states = layer or joined(SplitLayer.of(self.layer_self_attention)), packed.flatten(0, 1)
        rotary = self.layer_rotary(states, torch.arange(packed.shape[2], device=packed.device)[None])
        mixed = layer.finish_mean(states, attend(*layer.project(states, rotary)))
        return mixed.view(*packed.shape[:2], packed.shape[-1])

    def _read_tokens(
        self, embedded: Float[Tensor, "B T E"], positions: Int[Tensor, "B T"], own: Bool[Tensor, "B T T"]
    ) -> Float[Tensor, "B T E"]:
        layer, rotary = joined(SplitLayer.of(self.self_attention)), self.self_rotary(embedded, positions)
        return layer.finish(embedded, attend(*layer.project(embedded, rotary), own[:, None]))

    def _read_memory(
        self,
        states: Float[Tensor, "B T E"],
        memory: Float[Tensor, "B T E"],
        positions: Int[Tensor, "B T"],
        remembered: Bool[Tensor, "B T T"],
    ) -> Float[Tensor, "B T E"]:
        layer, rotary = joined(SplitLayer.of(self.cross_attention)), self.cross_rotary(states, positions)
        keys, values = layer.keys_values(memory)
        blind = ~remembered.any(-1)[:, None, :, None]  # softmax over nothing is not a number
        read = attend(layer.query(states, rotary), (rotate(keys, rotary), values), remembered[:, None] | blind)
        return layer.finish(states, read.masked_fill(blind, 0.0))

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if self.config.random_norms and isinstance(module, LlamaRMSNorm | Qwen2RMSNorm):
            normal_(module.weight, 0.0, self.config.initializer_range)


def pack(keys: Float[Tensor, "B K L H D"], values: Float[Tensor, "B K L H D"]) -> Float[Tensor, "B K L W"]:
    """Lay out a layer's keys and values of a token head by head: K of head 0, V of head 0, K of head 1, ..."""
    packed = keys.new_empty(*keys.shape[:-1], 2, keys.shape[-1])
    packed[..., 0, :], packed[..., 1, :] = keys, values  # torch.stack takes many times as long for parts this narrow
    return packed.flatten(-3)


def recomputed(read: Callable[..., Tensor], states: Tensor, *others: Any) -> Tensor:
    """Run a layer; if its states are large, nothing is stored for the backward pass, which runs it again."""
    if states.numel() <= LARGE or not torch.is_grad_enabled():
        return read(states, *others)
    output: Tensor = checkpoint(read, states, *others, use_reentrant=False)
    return output


def _layer(config: Any) -> nn.Module:
    kind: Any = LlamaDecoderLayer if config.model_type == "llama" else Qwen2DecoderLayer
    layer: nn.Module = kind(config, 0)
    return layer
