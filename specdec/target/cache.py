"""Keys and values of all rows, in preallocated slots that transformers' models write and read as their cache."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from attrs import frozen
from jaxtyping import Float, Int
from torch import Tensor
from transformers import Cache

from specdec.errors import UnsupportedModel

Array = np.ndarray[Any, np.dtype[Any]]
HeadShape = tuple[int, int]
"""Heads and head size of one layer's keys or values."""


@frozen(eq=False)
class Window:
    """What one forward pass touches: the slots, the columns that it writes, and how far it reads."""

    slots: Int[Array, " R"]
    columns: Int[Array, "R M"]
    end: int

    @cached_property
    def in_order(self) -> bool:
        """Whether the slots are the first ones, one after the other."""
        slots: list[int] = self.slots.tolist()
        return slots == list(range(len(slots)))

    @cached_property
    def start(self) -> int | None:
        """At which column all rows begin to write without gaps, if they do."""
        count = self.columns.shape[1]
        start = int(self.columns[0, 0]) if count else 0
        return start if (self.columns == np.arange(start, start + count)).all() else None

    def places(self, device: torch.device) -> tuple[Int[Tensor, " R"], Int[Tensor, "R M"]]:
        """Slots and columns as indices, for what stands less evenly."""
        return torch.from_numpy(self.slots).to(device), torch.from_numpy(self.columns).to(device)


class SlotCache(Cache):
    """Keys and values as `[slots, heads, columns, head size]` per layer, one slot per row.

    Layers of equal shape share one tensor, so that moving a path is one operation. The model writes through
    `update` at the places of the current window; nothing else is kept about what the columns mean.
    """

    def __init__(self, shapes: Sequence[HeadShape], dtype: torch.dtype, device: torch.device) -> None:
        """Take the head shapes in the order layer 0's keys, layer 0's values, layer 1's keys, ..."""
        super().__init__(layers=[])
        self._shapes = list(shapes)
        self._places = [self._shapes[:part].count(shape) for part, shape in enumerate(shapes)]  # in the shared tensor
        with torch.inference_mode(False):  # whoever makes the cache in that mode may write to it outside
            self._blocks = {
                (heads, size): torch.zeros(count, 0, heads, 0, size, dtype=dtype, device=device)
                for (heads, size), count in Counter(shapes).items()
            }
        self.window: Window | None = None
        self._settle()

    def reserve(self, slots: int, columns: int) -> None:
        """Make room; what is stored stays. Room grows by doubling, so this is rarely more than a look."""
        had_slots, had_columns = self._room
        if slots <= had_slots and columns <= had_columns:
            return
        slots = max(slots, had_slots)
        if columns > had_columns:
            columns = max(columns, min(2 * had_columns, columns + 1024))
        columns = max(columns, had_columns)
        for shape, block in self._blocks.items():
            with torch.inference_mode(False):
                grown = block.new_zeros(block.shape[0], slots, block.shape[2], columns, block.shape[4])
            grown[:, : block.shape[1], :, : block.shape[3]] = block
            self._blocks[shape] = grown
        self._settle()

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Store what a layer computed for the window, and give it all that the window reads."""
        return self._exchange(2 * layer_idx, key_states), self._exchange(2 * layer_idx + 1, value_states)

    def look(self, window: Window) -> None:
        """Set the window of the coming pass; where rows stand alike, views of all layers are made at once."""
        self.window, (rows, count), start = window, window.columns.shape, window.start
        self._reads, self._writes = list[Tensor](), list[Tensor]()
        if window.in_order:
            self._reads = self._views(rows, 0, window.end)
            self._writes = [] if start is None else self._views(rows, start, start + count)
        if not self._writes:
            self._slots, self._columns = window.places(self._parts[0].device)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Zero: positions are always given to the model, never counted by it."""
        return 0

    def move(self, slot: int, source: Int[Tensor, " M"], start: int) -> None:
        """Copy these columns of a slot to those from `start` on."""
        for block in self._blocks.values():
            block[:, slot, :, start : start + len(source)] = block[:, slot][:, :, source]

    def copy(self, source: int, slot: int, columns: int) -> None:
        """Copy the first columns of one slot to another."""
        for block in self._blocks.values():
            block[:, slot, :, :columns] = block[:, source, :, :columns]

    def wipe(self, slot: int, start: int = 0) -> None:
        """Zero a slot from a column on: masked columns must stay finite."""
        for block in self._blocks.values():
            block[:, slot, :, start:] = 0

    def columns(
        self, layers: Sequence[int], slots: Int[Tensor, " R"], columns: Int[Tensor, "R K"]
    ) -> tuple[Float[Tensor, "R K L H D"], Float[Tensor, "R K L H D"]]:
        """Copy out the keys and values of these layers at these columns.

        Raises:
            UnsupportedModel: the layers differ in their head shapes, so that there is no tensor of them all.
        """
        keys, values = (self._gather([2 * layer + part for layer in layers], slots, columns) for part in (0, 1))
        return keys, values

    def _gather(
        self, parts: list[int], slots: Int[Tensor, " R"], columns: Int[Tensor, "R K"]
    ) -> Float[Tensor, "R K L H D"]:
        shapes = {self._shapes[part] for part in parts}
        if len(shapes) != 1:
            raise UnsupportedModel(f"expected layers whose keys have one shape, got {sorted(shapes)}")
        block = self._blocks[shapes.pop()]
        places = torch.tensor([self._places[part] for part in parts], device=block.device)
        found: Tensor = block[places, slots[:, None, None], :, columns[..., None]]
        return found

    def _exchange(self, part: int, states: Float[Tensor, "R H M D"]) -> Float[Tensor, "R H C D"]:
        if self.window is None:
            raise RuntimeError("the cache is read through its engine alone")
        if self._writes:  # a fifth of what indices cost, and there are two for each layer
            self._writes[part].copy_(states)
        else:
            self._parts[part][self._slots[:, None], :, self._columns] = states.transpose(1, 2)
        return self._reads[part] if self._reads else self._parts[part][self._slots, :, : self.window.end]

    def _views(self, rows: int, start: int, end: int) -> list[Float[Tensor, "R H _ D"]]:
        """View some columns of the first slots, for each layer's keys and values in the shared tensors."""
        parts = {shape: block[:, :rows, :, start:end].unbind() for shape, block in self._blocks.items()}
        if len(parts) == 1:
            return list(*parts.values())
        return [parts[shape][place] for shape, place in zip(self._shapes, self._places, strict=True)]

    def _settle(self) -> None:
        """Name each layer's part of the shared tensors, which are new; the window has to be set again."""
        some = next(iter(self._blocks.values()))
        self.window, self._room = None, (some.shape[1], some.shape[3])
        self._parts = self._views(some.shape[1], 0, some.shape[3])
