"""Training-time test: the drafts that would start at every token of a text, all at once (EAGLE-3, section 3.2)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.checkpoint import checkpoint

from specdec_eagle.layer import Heads, attend
from specdec_eagle.model import EagleHead

LARGE = 2**26
"""Attention weights per step above which they are worked out a second time on the way back instead of kept."""


def unroll(
    head: EagleHead,
    embedded: Float[Tensor, "B P E"],
    features: Float[Tensor, "B P E"],
    positions: Int[Tensor, "B P"],
    steps: int,
) -> list[Float[Tensor, "B P E"]]:
    """Draft a chain of `steps` pairs from each pair of a text, whose tokens are those of the text.

    What step s gives at i is the prediction of feature i + 1 + s: its last s pairs have read tokens of which the last
    lie beyond the text, and mean nothing. A pair of step s sees the text's pairs up to the chain's first, with the
    target's features, and the pairs of its own chain, as when drafting.
    """
    heads, residual = head.enter(embedded, features, positions)
    given = [head.leave(residual, attend(heads.queries, heads.keys, heads.values))]
    chain: list[Heads] = []
    for step in range(1, steps):
        later = pad(embedded[:, step:], (0, 0, 0, min(step, embedded.shape[1])))
        own, residual = head.enter(later, given[-1], positions + step)
        chain.append(own)
        given.append(head.leave(residual, _read(heads, chain)))
    return given


def _read(text: Heads, chain: list[Heads]) -> Float[Tensor, "B H P D"]:
    """Let the last queries of chains read the text's pairs up to the chain's first, and the chain's own."""
    parts = [chain[-1].queries, text.keys, text.values]
    parts += [torch.stack([getattr(pair, name) for pair in chain], -2) for name in ("keys", "values")]
    queries, size = parts[0], parts[0].shape[2]
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
    hidden = torch.ones(size, size, dtype=torch.bool, device=queries.device).triu(1)
    before = before.masked_fill(hidden, -torch.inf)
    own = torch.einsum("bgrpd,bgpsd->bgrps", grouped, own_keys)
    law = torch.cat([before, own], -1).softmax(-1, dtype=torch.promote_types(before.dtype, torch.float32))
    law = law.to(values.dtype)
    read = (law[..., :size].flatten(2, 3) @ values).view(*shape, width)
    return (read + torch.einsum("bgrps,bgpsd->bgrpd", law[..., size:], own_values)).flatten(1, 2)
