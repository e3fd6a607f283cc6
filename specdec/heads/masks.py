"""Causal masks."""

import torch
from jaxtyping import Bool
from torch import Tensor


def causal(size: int, window: int | None = None, device: torch.device | str = "cpu") -> Bool[Tensor, "M M"]:
    """Let each of `size` tokens see itself and those before it, at most `window` in all."""
    mask = torch.ones(size, size, dtype=torch.bool, device=device).tril()
    return mask if window is None else mask.triu(1 - window)
