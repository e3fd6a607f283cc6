"""The head itself: three attentions, and nothing of the target."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.initialization import normal_
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm, LlamaRotaryEmbedding
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2RMSNorm

from specdec_moa.attention import Block
from specdec_moa.config import MoAConfig
from specdec_moa.rotary import Turns, angles, rotate

LARGE = 2**22
"""Numbers in the states of a batch above which training computes each layer over tokens a second time."""


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
            self._layer_turns = Turns(self.layer_rotary)
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
        states = lean(self._read_own, embedded, positions, own)
        return lean(self._read_memory, states, memory, positions, remembered)

    def _read_own(
        self, embedded: Float[Tensor, "B T E"], positions: Int[Tensor, "B T"], own: Bool[Tensor, "B T T"]
    ) -> Float[Tensor, "B T E"]:
        block, rotary = Block.of(self.self_attention), angles(self.self_rotary, embedded, positions)
        return block.attend(embedded, *block.query_and_project(embedded, rotary), own[:, None])

    def _read_memory(
        self,
        states: Float[Tensor, "B T E"],
        memory: Float[Tensor, "B T E"],
        positions: Int[Tensor, "B T"],
        remembered: Bool[Tensor, "B T T"],
    ) -> Float[Tensor, "B T E"]:
        block, rotary = Block.of(self.cross_attention), angles(self.cross_rotary, states, positions)
        keys, values = block.project(memory)
        blind = ~remembered.any(-1)[:, None, :, None]
        read = rotate(keys, rotary), values
        return block.attend(states, block.query(states, rotary), read, remembered[:, None] | blind, blind)

    def remember(
        self, keys: Float[Tensor, "B K L H D"], values: Float[Tensor, "B K L H D"], mixer: Block | None = None
    ) -> Float[Tensor, "B K E"]:
        """Make each token's memory of its keys, after rotary embedding, and values in all layers of the target."""
        memory: Tensor = self.Ekv2E(self.mix_layers(pack(keys, values), mixer))
        return memory

    def mix_layers(self, packed: Float[Tensor, "B K L W"], mixer: Block | None = None) -> Float[Tensor, "B K W"]:
        """Let the layers of each token see each other, both ways, and take their mean; tokens do not mix.

        A `mixer` is the layer's own block, from whoever keeps it.
        """
        states, block = packed.flatten(0, 1), mixer or Block.of(self.layer_self_attention)
        count = states.shape[1]
        rotary = self._layer_turns(states, torch.arange(count, device=states.device)[None], count)
        mixed = block.attend(states, *block.query_and_project(states, rotary), mean=True)
        return mixed.view(*packed.shape[:2], packed.shape[-1])

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if self.config.random_norms and isinstance(module, LlamaRMSNorm | Qwen2RMSNorm):
            normal_(module.weight, 0.0, self.config.initializer_range)


def pack(keys: Float[Tensor, "B K L H D"], values: Float[Tensor, "B K L H D"]) -> Float[Tensor, "B K L W"]:
    """Lay out a layer's keys and values of a token head by head: K of head 0, V of head 0, K of head 1, ..."""
    packed = keys.new_empty(*keys.shape[:-1], 2, keys.shape[-1])
    packed[..., 0, :], packed[..., 1, :] = keys, values  # torch.stack takes many times as long for parts this narrow
    return packed.flatten(-3)


def _layer(config: Any) -> nn.Module:
    kind: Any = LlamaDecoderLayer if config.model_type == "llama" else Qwen2DecoderLayer
    layer: nn.Module = kind(config, 0)
    return layer


def lean(read: Callable[..., Tensor], states: Tensor, *others: Any) -> Tensor:
    """Run a layer; one of many large states keeps nothing for the way back, and is run once more there."""
    if states.numel() <= LARGE or not torch.is_grad_enabled():
        return read(states, *others)
    again: Tensor = checkpoint(read, states, *others, use_reentrant=False)
    return again
