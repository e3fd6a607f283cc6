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
    """The same with all weights side by side, so that one product serves all; `ends` are where each layer's end.

    If the norm's weight is taken into the others, it is not `scaled` by it.
    """

    norm: Any
    weight: Float[Tensor, "W E"]
    bias: Float[Tensor, " W"] | None
    ends: Sequence[int]
    scaled: bool

    def __call__(self, states: Float[Tensor, "B M E"], first: int = 0, end: int | None = None) -> Tensor:
        """Put side by side what the layers from `first` to `end` make of states, `[B, M, W]`."""
        weight, bias = self.weight, self.bias
        if first or end:
            rows = slice(self.ends[first - 1] if first else 0, self.ends[end - 1] if end else None)
            weight, bias = weight[rows], bias if bias is None else bias[rows]
        if self.scaled or states.device.type != "cpu":
            return linear(normed(self.norm, states, scaled=self.scaled), weight, bias)
        return normed_linear(states, weight, bias, self.norm.variance_epsilon)


def readers(norm: Any, layers: Sequence[nn.Linear], *, copied: bool) -> Readers | JoinedReaders:
    """Join weights: in a copy that gradients lead back from, or in place without gradients.

    In place, the layers' parameters become views of what is held; to do so again costs nothing. The copy takes the
    norm's weight in, so that where the states need no gradient none is worked out for these; large weights
    are not copied, and stay apart, as do layers that are more than a product, such as quantized ones.
    """
    if not all(map(_is_product, layers)) or (copied and sum(layer.weight.numel() for layer in layers) > LARGE):
        return Readers(norm, layers)
    join = torch.cat if copied else _settled
    weight = join([layer.weight for layer in layers])
    bias = None if layers[0].bias is None else join([layer.bias for layer in layers])
    ends = [*accumulate(layer.out_features for layer in layers)]
    return JoinedReaders(norm, weight * norm.weight if copied else weight, bias, ends, scaled=not copied)


def normed(norm: Any, states: Float[Tensor, "B M E"], *, scaled: bool = True) -> Float[Tensor, "B M E"]:
    """Apply a norm over root mean squares, with its weight if it is to be `scaled`."""
    scale = norm.weight.to(states.dtype) if scaled else None
    return rms_norm(states, states.shape[-1:], scale, norm.variance_epsilon)


def onto(states: Float[Tensor, "B M E"], layer: Any, read: Float[Tensor, "B M W"]) -> Float[Tensor, "B M E"]:
    """Add to states what a linear layer makes of what they read; while drafting this is one operation."""
    if not torch.is_grad_enabled() and _is_product(layer) and layer.bias is None:
        return torch.addmm(states.flatten(0, 1), read.flatten(0, 1), layer.weight.T).view_as(states)
    added: Tensor = states + layer(read)
    return added


def _is_product(layer: Any) -> bool:
    return type(layer) is nn.Linear


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
