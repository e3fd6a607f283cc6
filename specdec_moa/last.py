"""Target layer inference: the target's last layers, on what a head gives for their input."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from specdec.heads import Mask, Rotary, SplitLayer, TargetParts, attend, drafting_copy, joined, norm
from specdec.target import SlotCache

MaskFor = Callable[[int | None], Mask]
"""Builds the mask of a layer from the width of its sliding window."""


class LastLayers:
    """The last N layers of a target and its final norm.

    Without such layers the head predicts what leaves the norm, so nothing is left to do.
    """

    def __init__(self, parts: TargetParts, *, drafting: bool = False) -> None:
        """Use the target's own weights, or for drafting copies of them."""
        copied = drafting_copy if drafting else joined
        self._layers = [copied(SplitLayer.of(layer)) for layer in parts.layers]
        self._windows, self._norm = parts.windows, parts.norm

    def __call__(
        self, states: Float[Tensor, "R M E"], rotary: Rotary, masks: MaskFor, cache: SlotCache | None = None
    ) -> Float[Tensor, "R M E"]:
        """Run them; what the layers read of earlier tokens is in the cache, in their order."""
        for place, (layer, window) in enumerate(zip(self._layers, self._windows, strict=True)):
            queries, own = layer.project(states, rotary)
            keys_values = own if cache is None else cache.update(*own, place)
            states = layer.finish(states, attend(queries, keys_values, masks(window)))
        return norm(self._norm, states) if self._layers else states
