"""The two halves of a transformers decoder layer, apart, so that keys may come from elsewhere than queries."""

from typing import Any, TypeAlias

import torch
from attrs import frozen
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention
from transformers.models.llama.modeling_llama import LlamaDecoderLayer
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer

from specdec_moa.fused import gated, normed_linear
from specdec_moa.rotary import Rotary, rotate

Layer: TypeAlias = LlamaDecoderLayer | Qwen2DecoderLayer

KeysValues = tuple[Float[Tensor, "B G C D"], Float[Tensor, "B G C D"]]
"""Keys, after rotary embedding, and values."""
Visible = Bool[Tensor, "B 1 #M C"] | Float[Tensor, "B 1 #M C"] | None
"""Which keys each query sees, or what is added to its scores; with none of either, all see all."""

Weights = tuple[tuple[Tensor, ...], tuple[Tensor | None, ...], Float[Tensor, " E"] | None]
"""Weights `[W, E]` and biases `[W]` of what reads the same states, and the norm's weight if it is not part of them."""
LARGE = 2**22
"""Numbers in a layer's weights from which on these are not copied: products are large enough, and copies too large."""
SHORT = 2**20
"""Scores up to which training on a CPU keeps them all: for many short sequences torch's kernel takes twice the time."""


@frozen(eq=False)
class Block:
    """A layer's weights, those that read the same states side by side, so that one product serves them all.

    `reads` makes queries, keys and values, `widens` both inputs of the activation. `sizes` are the widths of queries,
    keys and values.
    """

    layer: Layer
    reads: Weights
    widens: Weights
    sizes: tuple[int, int, int]

    @staticmethod
    def of(layer: Layer) -> "Block":
        """Put a layer's weights together: as a copy that gradients lead back from, or without gradients in place.

        In place, the layer's parameters become views of what the block holds; a second block costs nothing. The copy
        takes the norms' weights in, so that where the states need no gradient none is worked out for these; large
        weights are not copied, and stay apart.
        """
        attention, mlp = layer.self_attn, layer.mlp
        reads = [attention.q_proj, attention.k_proj, attention.v_proj]
        return Block(
            layer,
            _weights(layer.input_layernorm, reads),
            _weights(layer.post_attention_layernorm, [mlp.gate_proj, mlp.up_proj]),
            (reads[0].out_features, reads[1].out_features, reads[2].out_features),
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
        asked, _, kept = (size // self.layer.self_attn.head_dim for size in self.sizes)
        turned, values = torch.split(self._made(states, 0, 3), [asked + kept, kept], 1)
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
        layer, mlp = self.layer, self.layer.mlp
        attended = states + layer.self_attn.o_proj(read)
        widened = gated(_read(layer.post_attention_layernorm, attended, self.widens), mlp.act_fn)
        if mean:  # what is left is linear, as is the attention, whose inputs are narrower
            states, read, widened = (part.mean(1, keepdim=True) for part in (states, read, widened))
            attended = states + layer.self_attn.o_proj(read)
        out: Tensor = attended + mlp.down_proj(widened)
        return out

    def _made(self, states: Float[Tensor, "B M E"], first: int, end: int) -> Float[Tensor, "B H M D"]:
        """Make some of queries, keys and values, in this order."""
        weights, biases, scale = self.reads
        if len(weights) == 1:
            rows = slice(sum(self.sizes[:first]), sum(self.sizes[:end]))
            weights, biases = (weights[0][rows],), tuple(bias if bias is None else bias[rows] for bias in biases)
        else:
            weights, biases = weights[first:end], biases[first:end]
        made = _read(self.layer.input_layernorm, states, (weights, biases, scale))
        return split_heads(made, self.layer.self_attn.head_dim)


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


def _read(norm: Any, states: Float[Tensor, "B M E"], weights: Weights) -> Float[Tensor, "B M W"]:
    """Apply what follows a norm over root mean squares, and the norm."""
    parts, biases, scale = weights
    if scale is None and states.device.type == "cpu":
        return normed_linear(states, parts[0], biases[0], norm.variance_epsilon)
    scale = scale if scale is None else scale.to(states.dtype)
    normed = rms_norm(states, states.shape[-1:], scale, norm.variance_epsilon)
    made = [linear(normed, *pair) for pair in zip(parts, biases, strict=True)]
    return made[0] if len(made) == 1 else torch.cat(made, -1)


def _weights(norm: Any, layers: list[nn.Linear]) -> Weights:
    trained = torch.is_grad_enabled()
    if trained and sum(layer.weight.numel() for layer in layers) > LARGE:
        return tuple(layer.weight for layer in layers), tuple(layer.bias for layer in layers), norm.weight
    join = torch.cat if trained else _settled
    weight = join([layer.weight for layer in layers])
    bias = None if layers[0].bias is None else join([layer.bias for layer in layers])
    return ((weight * norm.weight,), (bias,), None) if trained else ((weight,), (bias,), norm.weight)


def _settled(parts: list[Tensor]) -> Tensor:
    """Give what `torch.cat` would, and make the parts views of it; where they are already, nothing is done."""
    first, ends = parts[0], [part.data_ptr() + part.nbytes for part in parts]
    together = first.untyped_storage().data_ptr() == parts[-1].untyped_storage().data_ptr()
    if together and [part.data_ptr() for part in parts[1:]] == ends[:-1]:
        return first.data.as_strided((sum(map(len, parts)), *first.shape[1:]), first.stride())
    whole = torch.cat([part.data for part in parts])
    for part, piece in zip(parts, torch.split(whole, [len(part) for part in parts]), strict=True):
        part.data = piece
    return whole
