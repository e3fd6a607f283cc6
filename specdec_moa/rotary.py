"""Rotary position embedding: how far queries and keys turn at each position."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

Rotary = tuple[Float[Tensor, "#B M D"], Float[Tensor, "#B M D"]]
"""Cosines and sines of the positions at hand, the first half of the sines negated."""


def angles(rotary: Any, states: Float[Tensor, "..."], positions: Int[Tensor, "#B M"]) -> Rotary:
    """Work out how far to turn at these positions, in the type and place of `states`."""
    cosines, sines = rotary(states, positions)
    first, second = sines.chunk(2, -1)
    return cosines, torch.cat([-first, second], -1)


def rotate(heads: Float[Tensor, "B H M D"], rotary: Rotary) -> Float[Tensor, "B H M D"]:
    """Turn keys or queries to their positions."""
    cosines, sines = rotary[0][:, None], rotary[1][:, None]
    return torch.addcmul(heads * cosines, heads.roll(heads.shape[-1] // 2, -1), sines)


class Turns:
    """Angles by position, worked out once and looked up ever after."""

    def __init__(self, rotary: Any) -> None:
        """Take a module of transformers."""
        self._rotary = rotary
        kind = str(rotary.rope_type)
        self._changing = "dynamic" in kind or kind == "longrope"  # these depend on the longest row
        self._table: Float[Tensor, "P 2 D"] | None = None

    def __call__(self, states: Float[Tensor, "..."], positions: Int[Tensor, "B M"], end: int) -> Rotary:
        """Give the angles at positions that are all before `end`."""
        if self._changing:
            return angles(self._rotary, states, positions)
        table, kind = self._table, (states.dtype, states.device)
        if table is None or len(table) < end or (table.dtype, table.device) != kind:
            self._table = table = self._tabulate(states, max(2 * end, 256))
        cosines, sines = table[positions].unbind(2)
        return cosines, sines

    def like(self, rotary: Any) -> bool:
        """Whether that module turns everything as this one does."""
        own = self._rotary
        frequencies = own.inv_freq.shape == rotary.inv_freq.shape and torch.equal(own.inv_freq, rotary.inv_freq)
        kinds = (own.rope_type, own.attention_scaling) == (rotary.rope_type, rotary.attention_scaling)
        return not self._changing and kinds and frequencies

    def _tabulate(self, states: Float[Tensor, "..."], size: int) -> Float[Tensor, "P 2 D"]:
        with torch.inference_mode(False), torch.no_grad():  # what drafting makes, training may use
            every = torch.arange(size, device=states.device)
            return torch.cat(angles(self._rotary, states, every[None])).transpose(0, 1).contiguous()
