"""Keys and values of all rows, in preallocated slots that transformers' models write and read as their cache."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import Cache

from specdec.errors import UnsupportedModel
from specdec.target.slot_mapping import SlotMapping
from specdec.transfer import upload

HeadShape = tuple[int, int]
"""Heads and head size of one layer's keys or values."""

NOTHING: HeadShape = (0, 0)
"""What a layer stores that uses the keys and values of another."""

STEP = 1024
"""By how many columns room grows at most beyond what is needed; each pass reads more than that costs."""


Mover = Callable[[Float[Tensor, "P S H C D"], Int[Tensor, " R"], Int[Tensor, " R"], Int[Tensor, "R K"]], None]
"""Moves paths within one shared tensor, as `SlotCache.move` says."""


def move_columns(
    block: Float[Tensor, "P S H C D"], slots: Int[Tensor, " R"], starts: Int[Tensor, " R"], paths: Int[Tensor, "R K"]
) -> None:
    """Move paths by torch's own operations: all is read before anything is written."""
    places = torch.arange(paths.shape[1], device=paths.device)
    rows, begin = slots[:, None], starts[:, None]
    block[:, rows, :, begin + places] = block[:, rows, :, begin + paths]


class SlotCache(Cache):
    """Keys and values as `[slots, heads, columns, head size]` per layer, one slot per row.

    Layers of equal shape share one tensor, so that moving a path is one operation. The model writes through
    `update` to the slots and columns of the current pass; nothing else is kept about what the columns mean.
    """

    def __init__(self, shapes: Sequence[HeadShape], dtype: torch.dtype, device: torch.device) -> None:
        """Take the head shapes in the order layer 0's keys, layer 0's values, layer 1's keys, ..."""
        super().__init__(layers=[])
        self._shapes = list(shapes)
        self._places = [self._shapes[:part].count(shape) for part, shape in enumerate(shapes)]  # in the shared tensor
        self.mover: Mover = move_columns
        self._blocks = {
            (heads, size): torch.empty(count, 0, heads, 0, size, dtype=dtype, device=device)
            for (heads, size), count in Counter(shapes).items()
        }
        self._indices: dict[tuple[int, ...], Int[Tensor, " L"]] = {}
        self._mapping: SlotMapping | None = None
        self.moves = 0
        """How often what is stored has moved to other memory."""
        self._written = list[int]()  # up to which column of each slot there may be anything but zeros
        self._settle(0, 0)

    @property
    def nbytes(self) -> int:
        """How much memory the keys and values take."""
        return sum(block.nbytes for block in self._blocks.values())

    def reserve(self, slots: int, columns: int) -> None:
        """Make room; what is stored stays. Both grow by doubling, so this is rarely more than a look."""
        had_slots, had_columns = self._room
        more_slots = max(slots, 2 * had_slots) if slots > had_slots else had_slots
        more_columns = max(columns, min(2 * had_columns, columns + STEP)) if columns > had_columns else had_columns
        self._resize(more_slots, more_columns, self._room)

    def release(self, slots: int, columns: int) -> None:
        """Give back all but twice what the first slots need, where they need a quarter of the room or less."""
        had_slots, had_columns = self._room
        fewer_slots = 2 * slots if 4 * slots <= had_slots else had_slots
        fewer_columns = 2 * columns if 4 * columns <= had_columns else had_columns
        self._resize(fewer_slots, fewer_columns, (slots, columns))

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Store what a layer computed in this pass, and give it all that the pass reads."""
        return self._exchange(2 * layer_idx, key_states), self._exchange(2 * layer_idx + 1, value_states)

    def begin(self, mapping: SlotMapping, *, whole: bool = False) -> None:
        """Begin a pass; where its rows are neighbours, views of all layers are made at once.

        If `whole`, layers are given all slots and columns that there are, for attention that finds the rows itself.
        """
        self._end()
        self._mapping, run, written = mapping, mapping.run, mapping.written
        if whole:
            self._reads = self._parts
        elif run is not None:
            self._reads = self._views(run, slice(mapping.end))
        if run is not None and written is not None:
            self._writes = self._views(run, written)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Zero: positions are always given to the model, never counted by it."""
        return 0

    def move(self, slots: Int[Tensor, " R"], starts: Int[Tensor, " R"], paths: Int[Tensor, "R K"]) -> None:
        """Copy columns of slots to where their paths begin: the k-th of a path, counted from `starts`, to the k-th.

        Paths rise, and begin at `starts` or after it.
        """
        for block in self._blocks.values():
            self.mover(block, slots, starts, paths)

    def copy(self, source: int, slot: int) -> None:
        """Copy what one slot holds to another."""
        if source >= len(self._written):  # nothing was read into it yet
            return
        columns = self._written[source]
        for block in self._blocks.values():
            block[:, slot, :, :columns] = block[:, source, :, :columns]
        self._written[slot] = max(self._written[slot], columns)

    def clear(self, slot: int, column: int) -> None:
        """Zero what passes left in a slot from this column on, and count what is before it as written.

        What is masked must be finite all the same, for 0 times NaN is NaN.
        """
        written, self._written[slot] = self._written[slot], column
        if written > column:
            for block in self._blocks.values():
                block[:, slot, :, column:written] = 0

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
        states: Tensor = block[self._index(parts), slots[:, None, None], :, columns[..., None]]
        return states

    def _index(self, parts: list[int]) -> Int[Tensor, " L"]:
        """Where these parts are in their shared tensor; made once, for the same are gathered in every step."""
        key = tuple(parts)
        if key not in self._indices:
            places = torch.tensor([self._places[part] for part in parts])
            (self._indices[key],) = upload(next(iter(self._blocks.values())).device, places)
        return self._indices[key]

    def _exchange(self, part: int, states: Float[Tensor, "R H M D"]) -> Float[Tensor, "_ H C D"]:
        mapping = self._mapping
        if mapping is None:
            raise RuntimeError("the cache is read through its engine alone")
        if self._writes:  # a fifth of what indices cost, and there are two for each layer
            self._writes[part].copy_(states)
        else:
            stored = self._parts[part]
            stored[mapping.index[:, None], :, mapping.columns] = states.transpose(1, 2).to(stored.dtype)
        return self._reads[part] if self._reads else self._parts[part][:, :, : mapping.end][mapping.index]

    def _views(self, slots: slice, columns: slice) -> list[Float[Tensor, "R H _ D"]]:
        """View some columns of some slots, for each layer's keys and values in the shared tensors."""
        parts = {shape: block[:, slots, :, columns].unbind() for shape, block in self._blocks.items()}
        if len(parts) == 1:
            return list(*parts.values())
        return [parts[shape][place] for shape, place in zip(self._shapes, self._places, strict=True)]

    def _resize(self, slots: int, columns: int, stays: tuple[int, int]) -> None:
        """Move what stays to new storage, and zero no more of it than nothing is copied to."""
        if (slots, columns) == self._room:
            return
        first, start = stays
        for shape, old in self._blocks.items():
            with torch.inference_mode(False):  # whoever makes it in that mode may write to it outside
                new = old.new_empty(old.shape[0], slots, old.shape[2], columns, old.shape[4])
            new[:, :first, :, :start] = old[:, :first, :, :start]
            new[:, :first, :, start:] = 0
            new[:, first:] = 0
            self._blocks[shape] = new
        self._written = [min(written, start) for written in self._written[:first]] + [0] * (slots - first)
        self._settle(slots, columns)

    def _settle(self, slots: int, columns: int) -> None:
        """Name each layer's part of the shared tensors, which are new; a pass has to begin again."""
        self._room, self.moves = (slots, columns), self.moves + 1
        self._parts = self._views(slice(None), slice(None))
        self._end()

    def _end(self) -> None:
        """Let go of what the last pass read."""
        self._mapping, self._reads, self._writes = None, list[Tensor](), list[Tensor]()
