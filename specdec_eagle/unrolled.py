"""Training-time test: the drafts that would start at every token of a text, all at once (EAGLE-3, section 3.2)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.checkpoint import checkpoint

from specdec.heads import KeysValues, attend, causal, joined
from specdec_eagle.model import EagleHead

LARGE = 2**26
"""Attention weights per step above which they are computed again in the backward pass instead of stored."""


def unroll(
    head: EagleHead,
    embedded: Float[Tensor, "B P E"],
    features: Float[Tensor, "B P E"],
    positions: Int[Tensor, "B P"],
    steps: int,
) -> list[Float[Tensor, "B P E"]]:
    """Draft a chain of `steps` pairs from each pair of a text, whose tokens are those of the text.

    Output i of step s is the prediction of feature i + 1 + s: its last s pairs have read tokens of which the last
    lie beyond the text, and mean nothing. A pair of step s sees the text's pairs up to the chain's first, with the
    target's features, and the pairs of its own chain, as when drafting.
    """
    layer, (inputs, residual) = joined(head.split_layer), head.fuse(embedded, features)
    queries, text = layer.project(inputs, head.rotary(inputs, positions))
    outputs, chain = [layer.finish(residual, attend(queries, text, causal=True))], list[KeysValues]()
    for step in range(1, steps):
        later = pad(embedded[:, step:], (0, 0, 0, min(step, embedded.shape[1])))
        inputs, residual = head.fuse(later, outputs[-1])
        queries, own = layer.project(inputs, head.rotary(inputs, positions + step))
        chain.append(own)
        outputs.append(layer.finish(residual, _read(queries, text, chain)))
    return outputs


def _read(queries: Float[Tensor, "B H P D"], text: KeysValues, chain: list[KeysValues]) -> Float[Tensor, "B H P D"]:
    """Let the last queries of chains read the text's pairs up to the chain's first, and the chain's own."""
    parts = (queries, *text, *(torch.stack(pairs, -2) for pairs in zip(*chain, strict=True)))
    size = queries.shape[2]
    if queries.shape[0] * queries.shape[1] * size * size <= LARGE:
        return _attend_both(*parts)
    read: Tensor = checkpoint(_attend_both, *parts, use_reentrant=False)
    return read


def _attend_both(
    queries: Float[Tensor, "B H P D"],
    keys: Float[Tensor, "B G P D"],
    values: Float[Tensor, "B G P D"],
    own_keys: Float[Tensor, "B G P S D"],
    own_values: Float[Tensor, "B G P S D"],
) -> Float[Tensor, "B H P D"]:
    rows, heads, size, width = queries.shape
    shape = (rows, keys.shape[1], heads // keys.shape[1], size)
    grouped = queries.reshape(*shape, width) * width**-0.5
    before = (grouped.flatten(2, 3) @ keys.mT).view(*shape, size)
    before = before.masked_fill(~causal(size, device=queries.device), -torch.inf)
    own = torch.einsum("bgrpd,bgpsd->bgrps", grouped, own_keys)
    probs = torch.cat([before, own], -1).softmax(-1, dtype=torch.promote_types(before.dtype, torch.float32))
    probs = probs.to(values.dtype)
    read = (probs[..., :size].flatten(2, 3) @ values).view(*shape, width)
    return (read + torch.einsum("bgrps,bgpsd->bgrpd", probs[..., size:], own_values)).flatten(1, 2)
