"""Rotary position embedding."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.models.llama.modeling_llama import rotate_half

Rotary = tuple[Float[Tensor, "#B M D"], Float[Tensor, "#B M D"]]
"""Cosines and sines of the positions at hand, as transformers' modules give them."""


def rotate(heads: Float[Tensor, "B H M D"], rotary: Rotary) -> Float[Tensor, "B H M D"]:
    """Rotate keys or queries to their positions."""
    cosines, sines = rotary[0][:, None], rotary[1][:, None]
    return torch.addcmul(heads * cosines, rotate_half(heads), sines)


class RotaryTable:
    """Cosines and sines by position, worked out once and looked up after that."""

    def __init__(self, rotary: Any, dtype: torch.dtype, device: torch.device) -> None:
        """Take a module of transformers."""
        self._rotary, self._like = rotary, torch.empty(0, dtype=dtype, device=device)
        kind = str(rotary.rope_type)
        self._varies = "dynamic" in kind or kind == "longrope"  # with the longest sequence at hand
        self._table = torch.empty(2, 0, 0)

    def __call__(self, positions: Int[Tensor, "B M"], end: int) -> Rotary:
        """Look up positions that are all before `end`."""
        if self._varies:
            cosines, sines = self._rotary(self._like, positions)
            return cosines, sines
        if self._table.shape[1] < end:
            every = torch.arange(max(2 * end, 256), device=self._like.device)[None]
            self._table = torch.cat(self._rotary(self._like, every))
        cosines, sines = self._table[:, positions]
        return cosines, sines
