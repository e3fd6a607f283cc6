"""The decoder layer of EAGLE heads, in parts, for what its attention reads is not what it adds to."""

import torch
from attrs import frozen
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm, rotate_half

from specdec_eagle.config import EagleConfig

Rotary = tuple[Float[Tensor, "#B M D"], Float[Tensor, "#B M D"]]
"""Cosines and sines of the positions at hand."""


@frozen(eq=False)
class Heads:
    """Queries, keys and values of tokens, the first two at their positions."""

    queries: Float[Tensor, "B H M D"]
    keys: Float[Tensor, "B G M D"]
    values: Float[Tensor, "B G M D"]


def decoder_layer(config: EagleConfig, width: int) -> LlamaDecoderLayer:
    """Make a Llama layer whose attention reads vectors of this width."""
    layer = LlamaDecoderLayer(config, 0)
    attention, size = layer.self_attn, config.head_dim
    if width != config.hidden_size or config.qkv_bias:
        counts = {"q_proj": config.num_attention_heads}
        counts |= dict.fromkeys(("k_proj", "v_proj"), config.num_key_value_heads)
        for name, count in counts.items():
            setattr(attention, name, nn.Linear(width, count * size, bias=config.qkv_bias))
    if config.qk_norm:
        attention.q_norm, attention.k_norm = (LlamaRMSNorm(size, config.rms_norm_eps) for _ in range(2))
    return layer


def project(layer: LlamaDecoderLayer, inputs: Float[Tensor, "B M W"], rotary: Rotary) -> Heads:
    """Make queries, keys and values of what the attention reads."""
    attention = layer.self_attn
    queries, keys, values = (
        _split(linear(inputs), attention.head_dim) for linear in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    if hasattr(attention, "q_norm"):
        queries, keys = attention.q_norm(queries), attention.k_norm(keys)
    return Heads(_rotate(queries, rotary), _rotate(keys, rotary), values)


def attend(
    queries: Float[Tensor, "B H M D"],
    keys: Float[Tensor, "B G C D"],
    values: Float[Tensor, "B G C D"],
    mask: Float[Tensor, "B 1 M C"] | None = None,
) -> Float[Tensor, "B H M D"]:
    """Read values by keys; without an additive mask each token sees itself and those before."""
    return scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, is_causal=mask is None, enable_gqa=keys.shape[1] != queries.shape[1]
    )


def finish(
    layer: LlamaDecoderLayer, residual: Float[Tensor, "B M E"], read: Float[Tensor, "B H M D"]
) -> Float[Tensor, "B M E"]:
    """Add what was read, then the perceptron's part."""
    states = residual + layer.self_attn.o_proj(read.transpose(1, 2).flatten(2))
    out: Tensor = states + layer.mlp(layer.post_attention_layernorm(states))
    return out


def _split(states: Float[Tensor, "B M W"], size: int) -> Float[Tensor, "B H M D"]:
    return states.view(*states.shape[:2], states.shape[-1] // size, size).transpose(1, 2)


def _rotate(heads: Float[Tensor, "B H M D"], rotary: Rotary) -> Float[Tensor, "B H M D"]:
    cosines, sines = rotary[0][:, None], rotary[1][:, None]
    turned: Tensor = heads * cosines + rotate_half(heads) * sines
    return turned


def causal(count: int, rows: int) -> Tensor:
    """Say that each of `count` tokens sees itself and those before, in every row, [R, M, M]."""
    return torch.ones(count, count, dtype=torch.bool).tril().expand(rows, -1, -1)
