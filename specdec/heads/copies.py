"""Copies of weights in forms that a CPU computes faster with; they do not follow later training."""

from itertools import accumulate
from typing import Any, overload

import torch
from attrs import evolve, frozen
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, rms_norm

from specdec.heads.layer import SplitLayer
from specdec.target.half import HalfPrecisionLinear, packs_exactly

SMALL = 2**22
"""Numbers in weights up to which they are joined: products of larger ones are large enough, and copies too large."""


def joined(layer: SplitLayer) -> SplitLayer:
    """Put a decoder layer's small weights that read the same states side by side; gradients lead back from the copy.

    Large weights stay apart, as do layers that are more than a product, such as quantized ones.
    """
    return evolve(layer, qkv=_joined(layer.qkv), gate_up=_joined(layer.gate_up))


@overload
def drafting_copy(layer: SplitLayer) -> SplitLayer: ...
@overload
def drafting_copy(layer: nn.Module) -> nn.Module: ...
@torch.no_grad()
def drafting_copy(layer: SplitLayer | nn.Module) -> SplitLayer | nn.Module:
    """Copy a decoder layer's small weights, joined, or an output head in half precision if that hardly moves it."""
    if isinstance(layer, SplitLayer):
        return evolve(layer, qkv=_by_column(_joined(layer.qkv)), gate_up=_by_column(_joined(layer.gate_up)))
    return HalfPrecisionLinear(layer) if packs_exactly(layer) else layer


@frozen(eq=False)
class JoinedProjection:
    """A projection with all weights side by side and the norm's taken in; `ends` are where each layer's end."""

    weight: Float[Tensor, "W E"]
    bias: Float[Tensor, " W"] | None
    ends: tuple[int, ...]
    epsilon: float | None

    def __call__(self, states: Float[Tensor, "B M E"], first: int = 0, end: int | None = None) -> Tensor:
        weight, bias = self.weight, self.bias
        if first or end is not None:
            rows = slice(self.ends[first - 1] if first else 0, None if end is None else self.ends[end - 1])
            weight, bias = weight[rows], bias if bias is None else bias[rows]
        inputs = states if self.epsilon is None else rms_norm(states, states.shape[-1:], None, self.epsilon)
        return linear(inputs, weight, bias)


def _joined(projection: Any) -> Any:
    layers, norm = projection.layers, projection.norm
    plain = all(type(layer) is nn.Linear for layer in layers)
    if not plain or sum(layer.weight.numel() for layer in layers) > SMALL:
        return projection
    weight = torch.cat([layer.weight for layer in layers])
    bias = None if layers[0].bias is None else torch.cat([layer.bias for layer in layers])
    ends = tuple(accumulate(layer.out_features for layer in layers))
    if norm is None:
        return JoinedProjection(weight, bias, ends, None)
    return JoinedProjection(weight * norm.weight, bias, ends, norm.variance_epsilon)


def _by_column(projection: Any) -> Any:
    """Copy weights with each column in one piece: a CPU multiplies few states by them in less time."""
    if not isinstance(projection, JoinedProjection):
        return projection
    return evolve(projection, weight=projection.weight.T.contiguous().T)
