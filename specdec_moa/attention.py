"""The two halves of a transformers decoder layer, apart, so that keys may come from elsewhere than queries."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.models.llama.modeling_llama import rotate_half

Rotary = tuple[Float[Tensor, "#B M D"], Float[Tensor, "#B M D"]]
"""Cosines and sines of the positions at hand."""
KeysValues = tuple[Float[Tensor, "B H C D"], Float[Tensor, "B H C D"]]
"""Keys, after rotary embedding, and values."""


def project(layer: nn.Module, states: Float[Tensor, "B M E"]) -> KeysValues:
    """Make keys and values of what a layer reads; the keys are not rotated yet."""
    normed, attention = layer.input_layernorm(states), layer.self_attn
    return _heads(attention, attention.k_proj(normed)), _heads(attention, attention.v_proj(normed))


def rotate(heads: Float[Tensor, "B H M D"], rotary: Rotary) -> Float[Tensor, "B H M D"]:
    """Turn keys or queries to their positions."""
    cosines, sines = rotary[0][:, None], rotary[1][:, None]
    turned: Tensor = heads * cosines + rotate_half(heads) * sines
    return turned


def attend(
    layer: nn.Module,
    states: Float[Tensor, "B M E"],
    memory: KeysValues,
    rotary: Rotary,
    visible: Bool[Tensor, "B 1 #M C"] | Float[Tensor, "B 1 #M C"] | None = None,
) -> Float[Tensor, "B M E"]:
    """Run a layer on `states`, which read `memory`; without `visible` all see all.

    Where a boolean mask lets nothing be seen, attention adds nothing.
    """
    attention = layer.self_attn
    queries = rotate(_heads(attention, attention.q_proj(layer.input_layernorm(states))), rotary)
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


def _heads(attention: nn.Module, states: Float[Tensor, "B M W"]) -> Float[Tensor, "B H M D"]:
    return states.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
