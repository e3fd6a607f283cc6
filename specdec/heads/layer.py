"""A decoder layer of transformers in two halves, so that attention may read keys that come from elsewhere."""

from collections.abc import Callable
from typing import Any

import torch
from attrs import frozen
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import rms_norm, scaled_dot_product_attention

from specdec.heads.rotary import Rotary, rotate

KeysValues = tuple[Float[Tensor, "B G C D"], Float[Tensor, "B G C D"]]
"""Keys, after rotary embedding unless said otherwise, and values."""
Mask = Bool[Tensor, "#B 1 #M C"] | Float[Tensor, "#B 1 #M C"] | None
"""Which keys each query sees, or what is added to its scores; None: all."""


@frozen(eq=False)
class Projection:
    """Linear layers that read the same states, after a norm over root mean squares if there is one."""

    layers: tuple[nn.Module, ...]
    norm: Any = None

    def __call__(self, states: Float[Tensor, "B M E"], first: int = 0, end: int | None = None) -> Tensor:
        """Put the outputs of the layers from `first` to `end` side by side, `[B, M, W]`."""
        inputs = states if self.norm is None else norm(self.norm, states)
        outputs: list[Tensor] = [layer(inputs) for layer in self.layers[first:end]]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)


@frozen(eq=False)
class SplitLayer:
    """The weights of a layer: `qkv` before attention, `output`, `gate_up` and `down` after it."""

    qkv: Callable[..., Tensor]
    output: Callable[[Tensor], Tensor]
    gate_up: Callable[..., Tensor]
    down: Callable[[Tensor], Tensor]
    activation: Callable[[Tensor], Tensor]
    num_heads: int
    num_kv_heads: int
    head_dim: int
    head_norms: tuple[nn.Module, nn.Module] | None = None
    """Of each query and each key by itself, in families that have them."""

    @classmethod
    def of(cls, layer: Any, *, normed: bool = True) -> "SplitLayer":
        """Split a layer; unless `normed`, its first half reads states that the caller has normed."""
        attention, mlp = layer.self_attn, layer.mlp
        return cls(
            Projection(
                (attention.q_proj, attention.k_proj, attention.v_proj), layer.input_layernorm if normed else None
            ),
            attention.o_proj,
            Projection((mlp.gate_proj, mlp.up_proj), layer.post_attention_layernorm),
            mlp.down_proj,
            mlp.act_fn,
            attention.config.num_attention_heads,
            attention.config.num_key_value_heads,
            attention.head_dim,
            (attention.q_norm, attention.k_norm) if hasattr(attention, "q_norm") else None,
        )

    def project(self, states: Float[Tensor, "B M E"], rotary: Rotary) -> tuple[Float[Tensor, "B H M D"], KeysValues]:
        """Make queries, keys and values."""
        heads = split_heads(self.qkv(states), self.head_dim)
        rotated, values = torch.split(heads, [self.num_heads + self.num_kv_heads, self.num_kv_heads], 1)
        if self.head_norms is not None:
            parts = torch.split(rotated, [self.num_heads, self.num_kv_heads], 1)
            rotated = torch.cat([norm(part) for norm, part in zip(self.head_norms, parts, strict=True)], 1)
        queries, keys = torch.split(rotate(rotated, rotary), [self.num_heads, self.num_kv_heads], 1)
        return queries, (keys, values)

    def query(self, states: Float[Tensor, "B M E"], rotary: Rotary) -> Float[Tensor, "B H M D"]:
        """Make queries alone."""
        queries = split_heads(self.qkv(states, 0, 1), self.head_dim)
        return rotate(queries if self.head_norms is None else self.head_norms[0](queries), rotary)

    def keys_values(self, states: Float[Tensor, "B M E"]) -> KeysValues:
        """Make keys, which are not rotated yet, and values."""
        keys, values = split_heads(self.qkv(states, 1, 3), self.head_dim).chunk(2, 1)
        return keys if self.head_norms is None else self.head_norms[1](keys), values

    def finish(self, residual: Float[Tensor, "B M E"], read: Float[Tensor, "B H M D"]) -> Float[Tensor, "B M E"]:
        """Add what attention read to the residual stream, then what the feed-forward part makes of that."""
        states, inner = self._before_down(residual, read)
        return states + self.down(inner)

    def finish_mean(self, residual: Float[Tensor, "B M E"], read: Float[Tensor, "B H M D"]) -> Float[Tensor, "B E"]:
        """Give the mean of `finish` over tokens. Its last product is linear, so it is made once, of the mean."""
        states, inner = self._before_down(residual, read)
        return states.mean(1) + self.down(inner.mean(1))

    def _before_down(
        self, residual: Float[Tensor, "B M E"], read: Float[Tensor, "B H M D"]
    ) -> tuple[Float[Tensor, "B M E"], Float[Tensor, "B M I"]]:
        """Give the residual stream after attention, and the inside of the feed-forward part."""
        states = residual + self.output(read.transpose(1, 2).flatten(2))
        gate, up = self.gate_up(states).chunk(2, -1)
        return states, self.activation(gate) * up


def attend(
    queries: Float[Tensor, "B H M D"], keys_values: KeysValues, mask: Mask = None, *, causal: bool = False
) -> Float[Tensor, "B H M D"]:
    """Read values by keys; `causal` in place of a mask lets each token see itself and those before it."""
    return scaled_dot_product_attention(queries, *keys_values, attn_mask=mask, is_causal=causal, enable_gqa=True)


def norm(module: Any, states: Float[Tensor, "*B E"]) -> Float[Tensor, "*B E"]:
    """Apply a norm over root mean squares in one operation, without rounding to float32 as transformers does."""
    return rms_norm(states, states.shape[-1:], module.weight.to(states.dtype), module.variance_epsilon)


def split_heads(states: Float[Tensor, "B M W"], size: int) -> Float[Tensor, "B H M D"]:
    """View heads of this size."""
    return states.view(*states.shape[:2], states.shape[-1] // size, size).transpose(1, 2)


def float_type(module: nn.Module, otherwise: torch.dtype) -> torch.dtype:
    """Give the type of a module's weights, or another where they are quantized."""
    types = (weight.dtype for weight in module.parameters() if weight.is_floating_point())
    return next(types, otherwise)
