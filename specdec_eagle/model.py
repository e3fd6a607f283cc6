"""The heads themselves: one layer that turns a feature and the next token into the next feature."""

from abc import abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm, LlamaRotaryEmbedding

from specdec.heads import HeadModel, SplitLayer, attend, float_type, joined
from specdec_eagle.config import EagleConfig


class EagleHead(HeadModel):
    """What EAGLE-1/2 and EAGLE-3 have in common.

    A pair (feature of token i, token i + 1) stands at position i and gives the feature of token i + 1, as predicted.
    """

    config_class = EagleConfig
    _no_split_modules = ("LlamaDecoderLayer",)

    def __init__(self, config: EagleConfig) -> None:
        super().__init__(config)
        self.rotary = LlamaRotaryEmbedding(config)

    @property
    @abstractmethod
    def layer(self) -> LlamaDecoderLayer:
        """The one layer."""

    @property
    def split_layer(self) -> SplitLayer:
        """The layer in two halves; the first reads what `fuse` has normed."""
        return SplitLayer.of(self.layer, normed=False)

    @abstractmethod
    def fuse(
        self, embedded: Float[Tensor, "B M E"], features: Float[Tensor, "B M E"]
    ) -> tuple[Float[Tensor, "B M W"], Float[Tensor, "B M E"]]:
        """Turn pairs into what the attention reads, and the residual that it adds to."""

    @abstractmethod
    def score(self, features: Float[Tensor, "*M E"], output: nn.Module) -> Float[Tensor, "*M W"]:
        """Give logits of the tokens that are drafted; `output` is the layer that scores these."""

    def forward(
        self, embedded: Float[Tensor, "B M E"], features: Float[Tensor, "B M E"], positions: Int[Tensor, "#B M"]
    ) -> Float[Tensor, "B M E"]:
        """Predict the feature after each pair of a sequence, all at once."""
        layer, (inputs, residual) = joined(self.split_layer), self.fuse(embedded, features)
        read = attend(*layer.project(inputs, self.rotary(inputs, positions)), causal=True)
        return layer.finish(residual, read)


class EagleModel(EagleHead):
    """EAGLE-1 and EAGLE-2, which differ in their trees alone.

    Li et al., arXiv 2401.15077 and 2406.16858. The feature is the target's last hidden state after its final norm, so
    its output head scores predicted features as they are.
    """

    def __init__(self, config: EagleConfig) -> None:
        super().__init__(config)
        self.fc = nn.Linear(2 * config.hidden_size, config.hidden_size, bias=config.bias)
        self.layers = nn.ModuleList([decoder_layer(config, config.hidden_size)])
        if not config.input_layernorm:
            self.layer.input_layernorm = nn.Identity()
        self.post_init()

    @property
    def layer(self) -> LlamaDecoderLayer:
        layer: LlamaDecoderLayer = self.layers[0]
        return layer

    def fuse(self, embedded: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        fused: Tensor = self.fc(torch.cat([embedded, features], -1))
        return self.layer.input_layernorm(fused), fused

    def score(self, features: Float[Tensor, "*M E"], output: nn.Module) -> Float[Tensor, "*M W"]:
        logits: Tensor = output(features.to(float_type(output, features.dtype)))
        return logits


def decoder_layer(config: EagleConfig, width: int) -> LlamaDecoderLayer:
    """Make a Llama layer whose attention reads vectors of this width."""
    layer = LlamaDecoderLayer(config, 0)
    attention, size = layer.self_attn, config.head_dim
    if width != config.hidden_size or config.qkv_bias:
        heads = {"q_proj": config.num_attention_heads}
        heads |= dict.fromkeys(("k_proj", "v_proj"), config.num_key_value_heads)
        for name, count in heads.items():
            setattr(attention, name, nn.Linear(width, count * size, bias=config.qkv_bias))
    if config.qk_norm:
        attention.q_norm, attention.k_norm = (LlamaRMSNorm(size, config.rms_norm_eps) for _ in range(2))
    return layer
