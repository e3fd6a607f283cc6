"""The two halves of a transformers decoder layer, apart, so that keys may come from elsewhere than queries."""

from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, rotate_half
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer

Layer: TypeAlias = LlamaDecoderLayer | Qwen2DecoderLayer

Rotary = tuple[Float[Tensor, "#B M D"], Float[Tensor, "#B M D"]]
"""Cosines and sines of the positions at hand."""
KeysValues = tuple[Float[Tensor, "B H C D"], Float[Tensor, "B H C D"]]
"""Keys, after rotary embedding, and values."""


def project(layer: Layer, states: Float[Tensor, "B M E"]) -> KeysValues:
    """Make keys and values of what a layer reads; the keys are not rotated yet."""
    normed, attention, size = layer.input_layernorm(states), layer.self_attn, layer.self_attn.head_dim
    return split_heads(attention.k_proj(normed), size), split_heads(attention.v_proj(normed), size)


def rotate(heads: Float[Tensor, "B H M D"], rotary: Rotary) -> Float[Tensor, "B H M D"]:
    """Turn keys or queries to their positions."""
    cosines, sines = rotary[0][:, None], rotary[1][:, None]
    turned: Tensor = heads * cosines + rotate_half(heads) * sines
    return turned


def attend(
    layer: Layer,
    states: Float[Tensor, "B M E"],
    memory: KeysValues,
    rotary: Rotary,
    visible: Bool[Tensor, "B 1 #M C"] | Float[Tensor, "B 1 #M C"] | None = None,
) -> Float[Tensor, "B M E"]:
    """Run a layer on `states`, which read `memory`; without `visible` all see all.

    Where a boolean mask lets nothing be seen, attention adds nothing.
    """
    attention = layer.self_attn
    queries = attention.q_proj(layer.input_layernorm(states))
    queries = rotate(split_heads(queries, attention.head_dim), rotary)
    blind = None
    if visible is not None and visible.dtype == torch.bool:
        blind = ~visible.any(-1, keepdim=True)
        visible = visible | blind
    read = scaled_dot_product_attention(queries, *memory, attn_mask=visible, enable_gqa=True)
    if blind is not None:
        read = read.masked_fill(blind, 0.0)
    states = states + attention.o_proj(read.transpose(1, 2).flatten(2))
    out: Tensor = states + layer.mlp(layer.post_attention_layernorm(states))
    return out


def split_heads(states: Float[Tensor, "B M W"], size: int) -> Float[Tensor, "B H M D"]:
    """Lay heads of this size out apart."""
    return states.view(*states.shape[:2], states.shape[-1] // size, size).transpose(1, 2)
