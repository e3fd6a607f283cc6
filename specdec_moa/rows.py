"""What a head keeps of each row: three caches, filled by position."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from specdec.target import Layout, SlotCache, Window
from specdec_moa.attention import KeysValues
from specdec_moa.encoder import Parcel
from specdec_moa.model import MoAModel
from specdec_moa.parts import TargetParts

_Pair = tuple[Tensor, Tensor]


class _LastLayers(SlotCache):
    """Keys and values of the target's last layers, which go by the target's own numbers."""

    def __init__(self, first: int, *args: Any) -> None:
        super().__init__(*args)
        self._first = first

    def reserve(self, slots: int, columns: int) -> None:
        if self._shapes:
            super().reserve(slots, columns)

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> _Pair:
        return super().update(key_states, value_states, layer_idx - self._first, *args, **kwargs)


class Rows:
    """Keys and values of a batch's rows: the tokens' own, the memory, and the target's last layers.

    A decided token stands in the column of its position. Nodes are written behind the row's decided tokens and
    overwritten by the next tree, so that nothing has to be dropped.
    """

    def __init__(self, model: MoAModel, parts: TargetParts, count: int) -> None:
        self.model, self.parts, self.count = model, parts, count
        config, device = model.config, parts.device
        size = config.head_dim
        own = (config.self_attention_num_key_value_heads, size)
        memory = (config.cross_attention_num_key_value_heads, size)
        last = (int(parts.config.num_key_value_heads), size)
        self._own = SlotCache([own, own], model.dtype, device)
        self._memory = SlotCache([memory, memory], model.dtype, device)
        self._last = _LastLayers(parts.first, [last, last] * len(parts.layers), parts.dtype, device)
        self._known = torch.zeros(count, 0, dtype=torch.bool)  # which columns of the memory are filled
        self._own_lengths = torch.zeros(count, dtype=torch.int64)
        self.settled = torch.zeros(count, dtype=torch.int64)
        """How many tokens of each row the last layers have keys and values of, computed or predicted."""

    def learn(self, parcel: Parcel, starts: Int[Tensor, " B"], lengths: Int[Tensor, " B"]) -> None:
        """Take in what the target computed of `lengths` decided tokens from each row's `starts` on."""
        rows, size = torch.arange(self.count), parcel.memory[0].shape[2]
        columns = starts.clamp(min=0)[:, None] + torch.arange(size)
        valid = torch.arange(size) < lengths[:, None]
        end = int(columns[valid].max()) + 1
        columns = torch.where(valid, columns, end)  # one spare column takes what means nothing
        self._look(self._memory, rows, columns, end + 1)
        self._memory.update(*self.model.place(parcel.memory, self._to(columns)), 0)
        self._known = torch.nn.functional.pad(self._known, (0, max(end - self._known.shape[1], 0)))
        self._known[rows[:, None].expand_as(columns)[valid], columns[valid]] = True
        if self.parts.layers:
            self._look(self._last, rows, columns, end + 1)
            for layer in range(len(self.parts.layers)):
                keys, values = (part[:, :, layer].transpose(1, 2) for part in (parcel.keys, parcel.values))
                self._last.update(keys.to(self.parts.dtype), values.to(self.parts.dtype), self.parts.first + layer)
        self.settled = torch.where(lengths > 0, torch.maximum(self.settled, starts + lengths), self.settled)

    def follow(self, tokens: Int[Tensor, "R T"], ends: Int[Tensor, " R"], rows: Int[Tensor, " R"]) -> None:
        """Bring the tokens' own keys and values up to each row's `ends`, not included."""
        starts = torch.minimum(self._own_lengths[rows], ends)
        size = int((ends - starts).max())
        if size > 0:
            columns = starts[:, None] + torch.arange(size)
            chain = tokens.gather(1, columns.clamp(max=tokens.shape[1] - 1))
            self._look(self._own, rows, columns, int(columns.max()) + 1)
            self._own.update(*self.model.own_keys_values(self._embed(chain), self._to(columns)), 0)
        self._own_lengths[rows] = ends

    def read(
        self,
        tokens: Int[Tensor, "R M"],
        layout: Layout,
        rows: Int[Tensor, " R"],
        only: Int[Tensor, " R"] | None = None,
    ) -> Float[Tensor, "R _ V"]:
        """Give logits of what follows nodes that stand behind `layout.lengths` decided tokens.

        If only one node per row is asked about, by its place among them, the others are read for those behind it.
        """
        positions, masks = self._to(layout.positions), _Masks(layout, self.parts)
        embedded = self._embed(tokens)
        self._look(self._own, rows, layout.columns, layout.end)
        own = self._own.update(*self.model.own_keys_values(embedded, positions), 0)
        states = self.model.read_own(embedded, own, positions, masks(None).to(embedded.dtype))
        states = self._recall(states, rows, positions).to(self.parts.dtype)
        self._look(self._last, rows, layout.columns, layout.end)
        states = self.parts.finish(states, positions, masks, self._last)
        if only is not None:
            states = states[torch.arange(len(rows)), self._to(only)][:, None]
        logits: Tensor = self.parts.head(states)
        return logits

    def _recall(
        self, states: Float[Tensor, "R M E"], rows: Int[Tensor, " R"], positions: Int[Tensor, "R M"]
    ) -> Float[Tensor, "R M E"]:
        known = self._known[rows]
        none = torch.empty(len(rows), 0, dtype=torch.int64)
        self._look(self._memory, rows, none, known.shape[1])
        memory: KeysValues = self._memory.update(*self._nothing(len(rows)), 0)
        return self.model.read_memory(states, memory, positions, self._to(known)[:, None, None])

    def _nothing(self, rows: int) -> KeysValues:
        config = self.model.config
        none = torch.empty(rows, config.cross_attention_num_key_value_heads, 0, config.head_dim, dtype=self.model.dtype)
        return self._to(none), self._to(none)

    def _embed(self, tokens: Int[Tensor, "R M"]) -> Float[Tensor, "R M E"]:
        embedded: Tensor = self.parts.embed(self._to(tokens.clamp(min=0))).to(self.model.dtype)
        return embedded

    def _look(self, cache: SlotCache, rows: Int[Tensor, " R"], columns: Int[Tensor, "R M"], end: int) -> None:
        cache.reserve(self.count, end)
        cache.look(Window(self._to(rows), self._to(columns), end))

    def _to(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.parts.device, non_blocking=True)


class _Masks:
    """Builds each mask of a layout once."""

    def __init__(self, layout: Layout, parts: TargetParts) -> None:
        self._layout, self._parts = layout, parts
        self._built: dict[int | None, Tensor] = {}

    def __call__(self, window: int | None) -> Tensor:
        if window not in self._built:
            mask = self._layout.mask(self._parts.dtype, window).to(self._parts.device)
            self._built[window] = mask
        return self._built[window]
