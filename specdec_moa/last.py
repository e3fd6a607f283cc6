"""Target layer inference: the target's last layers, on what a head gives for their input."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from specdec.target import SlotCache
from specdec_moa.attention import Block
from specdec_moa.parts import TargetParts
from specdec_moa.readers import normed
from specdec_moa.rotary import Rotary

MaskFor = Callable[[int | None], Tensor]
"""Builds the additive mask `[R, 1, M, C]` of a layer from the width of its sliding window."""


class LastLayers:
    """The last N layers of a target and its final norm.

    Without such layers the head predicts what leaves the norm, so nothing is left to do.
    """

    def __init__(self, parts: TargetParts) -> None:
        self._blocks = [Block.of(layer) for layer in parts.layers]
        self._windows, self._norm = parts.windows, parts.norm

    def __call__(
        self, states: Float[Tensor, "R M E"], rotary: Rotary, mask: MaskFor, cache: SlotCache | None = None
    ) -> Float[Tensor, "R M E"]:
        """Run them; what the layers read of earlier tokens is in the cache, in their order."""
        for place, (block, window) in enumerate(zip(self._blocks, self._windows, strict=True)):
            queries, own = block.query_and_project(states, rotary)
            memory = own if cache is None else cache.update(*own, place)
            states = block.attend(states, queries, memory, mask(window))
        return normed(self._norm, states) if self._blocks else states
