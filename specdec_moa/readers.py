"""A layer's linear parts: those that read the same states behind the same norm, and those that add to states."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from attrs import frozen
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, rms_norm

from specdec_moa.fused import normed_linear

LARGE = 2**22
"""Numbers in weights from which on these are not copied: products are large enough, and copies too large."""


@frozen(eq=False)
class Readers:
    """A norm over root mean squares and the layers behind it, one by one."""

    norm: Any
    layers: Sequence[nn.Module]

    def __call__(self, states: Float[Tensor, "B M E"], first: int = 0, end: int | None = None) -> Tensor:
        """Put side by side what the layers from `first` to `end` make of states, `[B, M, W]`."""
        read = normed(self.norm, states)
        made: list[Tensor] = [layer(read) for layer in self.layers[first:end]]
        return made[0] if len(made) == 1 else torch.cat(made, -1)


@frozen(eq=False)
class JoinedReaders:
    """The same with all weights side by side and the norm's taken in; `ends` are where each layer's end."""

    weight: Float[Tensor, "W E"]
    bias: Float[Tensor, " W"] | None
    ends: Sequence[int]
    epsilon: float

    def __call__(self, states: Float[Tensor, "B M E"], first: int = 0, end: int | None = None) -> Tensor:
        """Put side by side what the layers from `first` to `end` make of states, `[B, M, W]`."""
        weight, bias = self.weight, self.bias
        if first or end:
            rows = slice(self.ends[first - 1] if first else 0, self.ends[end - 1] if end else None)
            weight, bias = weight[rows], bias if bias is None else bias[rows]
        if torch.is_grad_enabled() and states.device.type == "cpu":
            return normed_linear(states, weight, bias, self.epsilon)
        return linear(rms_norm(states, states.shape[-1:], None, self.epsilon), weight, bias)


@frozen(eq=False)
class Adder:
    """A linear layer whose product is added to states: in one operation, if there is a copy of its weights."""

    layer: nn.Module
    weight: Float[Tensor, "E W"] | None

    def __call__(self, states: Float[Tensor, "B M E"], read: Float[Tensor, "B M W"]) -> Float[Tensor, "B M E"]:
        """Add to states what the layer makes of what they read."""
        if self.weight is None:
            added: Tensor = states + self.layer(read)
            return added
        return torch.addmm(states.flatten(0, 1), read.flatten(0, 1), self.weight.T).view_as(states)


def readers(norm: Any, layers: Sequence[Any]) -> Readers | JoinedReaders:
    """Join weights in a copy, which gradients lead back from.

    It takes the norm's weight in, so that where the states need no gradient none is worked out for these. Large weights
    are not copied, and stay apart, as do layers that are more than a product, such as quantized ones.
    """
    if not _small(layers):
        return Readers(norm, layers)
    weight = torch.cat([layer.weight for layer in layers]) * norm.weight
    bias = None if layers[0].bias is None else torch.cat([layer.bias for layer in layers])
    ends = [*accumulate(layer.out_features for layer in layers)]
    return JoinedReaders(weight if torch.is_grad_enabled() else by_column(weight), bias, ends, norm.variance_epsilon)


def adder(layer: Any) -> Adder:
    """Copy a small layer's weights for drafting."""
    copied = not torch.is_grad_enabled() and _small([layer]) and layer.bias is None
    return Adder(layer, by_column(layer.weight) if copied else None)


def normed(norm: Any, states: Float[Tensor, "*B E"]) -> Float[Tensor, "*B E"]:
    """Apply a norm over root mean squares."""
    return rms_norm(states, states.shape[-1:], norm.weight.to(states.dtype), norm.variance_epsilon)


def by_column(weight: Float[Tensor, "W E"]) -> Float[Tensor, "W E"]:
    """Copy weights with each column in one piece: a CPU multiplies few states by them in two thirds of the time."""
    return weight.detach().T.clone(memory_format=torch.contiguous_format).T


def _small(layers: Sequence[Any]) -> bool:
    return all(type(layer) is nn.Linear for layer in layers) and sum(layer.weight.numel() for layer in layers) <= LARGE
