"""The two halves of a transformers decoder layer, apart, so that keys may come from elsewhere than queries."""

from typing import Any

import torch
from attrs import frozen
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from specdec_moa.fused import gated
from specdec_moa.readers import Adder, JoinedReaders, Readers, adder, readers
from specdec_moa.rotary import Rotary, rotate

KeysValues = tuple[Float[Tensor, "B G C D"], Float[Tensor, "B G C D"]]
"""Keys, after rotary embedding, and values."""
Visible = Bool[Tensor, "#B 1 #M C"] | Float[Tensor, "#B 1 #M C"] | None
"""Which keys each query sees, or what is added to its scores; with none of either, all see all."""

SHORT = 2**20
"""Scores up to which training on a CPU keeps them all: for many short sequences torch's kernel takes twice the time."""


@frozen(eq=False)
class Block:
    """A layer's weights, those that read the same states side by side.

    `reads` makes queries, keys and values, which stand in so many `heads`, and `widens` both inputs of the
    activation; what comes of these goes `onto` the states, and `narrows` onto them. `norms` are those of each query,
    key and value by itself, in families that have them.
    """

    layer: Any
    reads: Readers | JoinedReaders
    onto: Adder
    widens: Readers | JoinedReaders
    narrows: Adder
    heads: tuple[int, int, int]
    norms: tuple[nn.Module, nn.Module, nn.Module] | None

    @staticmethod
    def of(layer: Any) -> "Block":
        """Put a layer's weights together: for training, or without gradients a copy for drafting, as they are now."""
        attention, mlp = layer.self_attn, layer.mlp
        asked, kept = attention.config.num_attention_heads, attention.config.num_key_value_heads
        return Block(
            layer,
            readers(layer.input_layernorm, (attention.q_proj, attention.k_proj, attention.v_proj)),
            adder(attention.o_proj),
            readers(layer.post_attention_layernorm, (mlp.gate_proj, mlp.up_proj)),
            adder(mlp.down_proj),
            (asked, kept, kept),
            (attention.q_norm, attention.k_norm, nn.Identity()) if hasattr(attention, "q_norm") else None,
        )

    def query(self, states: Float[Tensor, "B M E"], rotary: Rotary) -> Float[Tensor, "B H M D"]:
        """Make queries of what the layer reads."""
        return rotate(self._made(states, 0, 1), rotary)

    def project(self, states: Float[Tensor, "B M E"]) -> KeysValues:
        """Make keys and values of what the layer reads; the keys are not rotated yet."""
        keys, values = self._made(states, 1, 3).chunk(2, 1)
        return keys, values

    def query_and_project(
        self, states: Float[Tensor, "B M E"], rotary: Rotary
    ) -> tuple[Float[Tensor, "B H M D"], KeysValues]:
        """Make queries, keys and values of the same states."""
        return self.part(self.reads(states), rotary)

    def part(self, made: Float[Tensor, "B M W"], rotary: Rotary) -> tuple[Float[Tensor, "B H M D"], KeysValues]:
        """Part what `reads` made into queries, keys and values, and turn them."""
        asked, kept, _ = self.heads
        turned, values = torch.split(self._split(made, 0, 3), [asked + kept, kept], 1)
        queries, keys = torch.split(rotate(turned, rotary), [asked, kept], 1)
        return queries, (keys, values)

    def attend(
        self,
        states: Float[Tensor, "B M E"],
        queries: Float[Tensor, "B H M D"],
        memory: KeysValues,
        visible: Visible = None,
        blind: Bool[Tensor, "B 1 #M 1"] | None = None,
        *,
        mean: bool = False,
    ) -> Float[Tensor, "B _ E"]:
        """Run the layer on `states`, whose queries read `memory`; give all, or their mean.

        Attention adds nothing to what is `blind`, whatever the mask says.
        """
        read = _attend(queries, memory, visible)
        if blind is not None:
            read = read.masked_fill(blind[:, 0], 0.0)
        attended = self.onto(states, read)
        widened = gated(self.widens(attended), self.layer.mlp.act_fn)
        if mean:  # what is left is linear, as is the attention, whose inputs are narrower
            states, read, widened = (part.mean(1, keepdim=True) for part in (states, read, widened))
            attended = self.onto(states, read)
        return self.narrows(attended, widened)

    def _made(self, states: Float[Tensor, "B M E"], first: int, end: int) -> Float[Tensor, "B H M D"]:
        """Make some of queries, keys and values, in this order."""
        return self._split(self.reads(states, first, end), first, end)

    def _split(self, made: Float[Tensor, "B M W"], first: int, end: int) -> Float[Tensor, "B H M D"]:
        heads = split_heads(made, self.layer.self_attn.head_dim)
        if self.norms is None:
            return heads
        parts = zip(self.norms[first:end], torch.split(heads, [*self.heads[first:end]], 1), strict=True)
        return torch.cat([norm(part) for norm, part in parts], 1)


def _attend(queries: Float[Tensor, "B H M D"], memory: KeysValues, visible: Visible) -> Float[Tensor, "B M W"]:
    """Attend, and lay the heads side by side."""
    if visible is not None:
        read = scaled_dot_product_attention(queries, *memory, attn_mask=visible, enable_gqa=True)
    else:  # heads that share keys are as good as more queries of one head, and take a third less time
        rows, heads, count, size = queries.shape
        groups = memory[0].shape[1]
        shared = queries.view(rows, groups, heads // groups, count, size).transpose(2, 3)  # [B, G, M, H / G, D]
        few = rows * heads * count * memory[0].shape[2] <= SHORT
        short = few and shared.requires_grad and shared.device.type == "cpu"
        attend = _attend_short if short else scaled_dot_product_attention
        read = attend(shared.flatten(2, 3), *memory).view(shared.shape)
    out: Tensor = read.transpose(1, 2).flatten(2)
    return out


def _attend_short(
    queries: Float[Tensor, "B G M D"], keys: Float[Tensor, "B G C D"], values: Float[Tensor, "B G C D"]
) -> Float[Tensor, "B G M D"]:
    """Attend, and keep what every query gives to every key for the way back."""
    scores = queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5
    read: Tensor = scores.softmax(-1) @ values
    return read


def split_heads(states: Float[Tensor, "B M W"], size: int) -> Float[Tensor, "B H M D"]:
    """Lay heads of this size out apart."""
    return states.view(*states.shape[:2], states.shape[-1] // size, size).transpose(1, 2)
