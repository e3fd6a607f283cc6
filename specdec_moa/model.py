"""The head itself: three attentions, and nothing of the target."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.initialization import normal_
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm, LlamaRotaryEmbedding
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2RMSNorm

from specdec_moa.attention import KeysValues, Layer, Rotary, attend, project, rotate
from specdec_moa.config import MoAConfig


class MoAModel(PreTrainedModel):
    """Layer self-attention makes a memory of what the target computed; cross-attention reads it while drafting.

    Zimmer et al., "Mixture of Attentions For Speculative Decoding", arXiv 2410.03804, section 3.
    Embedding, output head and, for target layer inference, the last layers are the target's and stand outside.
    """

    config_class = MoAConfig
    base_model_prefix = ""
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

        Token i sees the tokens that `own` says at [i, j], and of the target's memory what `remembered` says.
        """
        keys, values = self.own_keys_values(embedded, positions)
        states = self.read_own(embedded, (keys, values), positions, own[:, None])
        placed = self.place(project(self.cross_attention, memory), positions)
        return self.read_memory(states, placed, positions, remembered[:, None])

    def remember(self, keys: Float[Tensor, "B K L H D"], values: Float[Tensor, "B K L H D"]) -> Float[Tensor, "B K E"]:
        """Make each token's memory of its keys, after rotary embedding, and values in all layers of the target."""
        memory: Tensor = self.Ekv2E(self.mix_layers(pack(keys, values)).mean(2))
        return memory

    def mix_layers(self, packed: Float[Tensor, "B K L W"]) -> Float[Tensor, "B K L W"]:
        """Let the layers of each token see each other, both ways; tokens do not mix."""
        states, layers = packed.flatten(0, 1), packed.shape[2]
        rotary = self.layer_rotary(states, torch.arange(layers, device=states.device)[None])
        keys, values = project(self.layer_self_attention, states)
        mixed = attend(self.layer_self_attention, states, (rotate(keys, rotary), values), rotary)
        return mixed.view(packed.shape)

    def own_keys_values(self, embedded: Float[Tensor, "B M E"], positions: Int[Tensor, "B M"]) -> KeysValues:
        """Make the self-attention's keys and values of tokens; they depend on nothing but token and position."""
        keys, values = project(self.self_attention, embedded)
        return rotate(keys, self.self_rotary(embedded, positions)), values

    def read_own(
        self,
        embedded: Float[Tensor, "B M E"],
        memory: KeysValues,
        positions: Int[Tensor, "B M"],
        visible: Bool[Tensor, "B 1 M C"] | Float[Tensor, "B 1 M C"],
    ) -> Float[Tensor, "B M E"]:
        """Run the self-attention over the row's own tokens."""
        return attend(self.self_attention, embedded, memory, self.self_rotary(embedded, positions), visible)

    def place(self, memory: KeysValues, positions: Int[Tensor, "B K"]) -> KeysValues:
        """Turn the cross-attention's keys to the positions of the tokens they remember."""
        return rotate(memory[0], self.cross_rotary(memory[0], positions)), memory[1]

    def read_memory(
        self,
        states: Float[Tensor, "B M E"],
        memory: KeysValues,
        positions: Int[Tensor, "B M"],
        visible: Bool[Tensor, "B 1 #M C"],
    ) -> Float[Tensor, "B M E"]:
        """Run the cross-attention: what it gives is the target's feature as predicted."""
        rotary: Rotary = self.cross_rotary(states, positions)
        return attend(self.cross_attention, states, memory, rotary, visible)

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if self.config.random_norms and isinstance(module, LlamaRMSNorm | Qwen2RMSNorm):
            normal_(module.weight, 0.0, self.config.initializer_range)


def pack(keys: Float[Tensor, "B K L H D"], values: Float[Tensor, "B K L H D"]) -> Float[Tensor, "B K L W"]:
    """Lay out a layer's keys and values of a token head by head: K of head 0, V of head 0, K of head 1, ..."""
    return torch.stack([keys, values], -2).flatten(-3)


def _layer(config: Any) -> Layer:
    kind = LlamaDecoderLayer if config.model_type == "llama" else Qwen2DecoderLayer
    layer: Layer = kind(config, 0)
    return layer
