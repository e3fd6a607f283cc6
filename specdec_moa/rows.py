"""What a head keeps of each row: three caches, filled by position."""

import numpy as np
import torch
from attrs import frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor

from specdec.nodes import Array, array
from specdec.target import SlotCache, SlotMapping, TreePass
from specdec_moa.attention import KeysValues
from specdec_moa.encoder import Parcel
from specdec_moa.rotary import rotate
from specdec_moa.stack import Stack


@frozen(eq=False)
class Recalled:
    """What some rows read of the memory in one step; without masks, all of it.

    Attention gives nothing to rows that are `blind`, which know nothing yet.
    """

    rows: Array
    memory: KeysValues
    visible: Bool[Tensor, "R 1 1 C"] | None = None
    blind: Bool[Tensor, "R 1 1 1"] | None = None


class Rows:
    """Keys and values of a batch's rows: the tokens' own, the memory, and the target's last layers.

    A decided token stands in the column of its position. Nodes are written behind the row's decided tokens and
    overwritten by the next tree, so that nothing has to be dropped.
    """

    def __init__(self, stack: Stack, count: int) -> None:
        self.stack, self.parts, self.count = stack, stack.parts, count
        config, self.device, self.dtype = stack.model.config, self.parts.device, stack.model.dtype
        self._last_dtype = self.parts.dtype
        size = config.head_dim
        own = (config.self_attention_num_key_value_heads, size)
        memory = (config.cross_attention_num_key_value_heads, size)
        last = (int(self.parts.config.num_key_value_heads), size)
        self._shape = (config.cross_attention_num_key_value_heads, 0, size)
        self._own = SlotCache([own, own], self.dtype, self.device)
        self._memory = SlotCache([memory, memory], self.dtype, self.device)
        self._last = SlotCache([last, last] * max(len(self.parts.layers), 1), self._last_dtype, self.device)
        self._known: Array = np.zeros((count, 0), bool)  # which columns of the memory are filled
        self._own_lengths: Array = np.zeros(count, np.int64)
        self.settled: Array = np.zeros(count, np.int64)
        """How many tokens of each row the last layers have keys and values of, computed or predicted."""

    def learn(self, parcel: Parcel, starts: Int[Tensor, " B"], lengths: Int[Tensor, " B"]) -> None:
        """Take in what the target computed of `lengths` decided tokens from each row's `starts` on."""
        counts, ends = array(lengths), array(starts + lengths)
        places, end = np.arange(parcel.memory[0].shape[2]), int(ends[counts > 0].max())
        valid = places < counts[:, None]
        columns = np.where(valid, array(starts)[:, None] + places, end)  # one spare column takes what means nothing
        positions = torch.from_numpy(columns)
        mapping = SlotMapping(range(self.count), positions, end + 1)
        keys, values = parcel.memory
        self._begin(self._memory, mapping)
        positions = self._to(positions)
        self._memory.update(rotate(keys, self.stack.cross_turns(keys, positions, end + 1)), values, 0)
        self._known = np.pad(self._known, ((0, 0), (0, max(end - self._known.shape[1], 0))))
        row, place = valid.nonzero()
        self._known[row, columns[row, place]] = True
        if self.parts.layers:
            self._begin(self._last, mapping)
            for layer in range(len(self.parts.layers)):
                keys, values = (part[:, :, layer].transpose(1, 2) for part in (parcel.keys, parcel.values))
                self._last.update(keys.to(self.parts.dtype), values.to(self.parts.dtype), layer)
        self.settled = np.where(counts > 0, np.maximum(self.settled, ends), self.settled)

    def follow(self, tokens: Int[Tensor, "R T"], ends: Array, rows: Array) -> None:
        """Bring the tokens' own keys and values up to each row's `ends`, not included."""
        starts = np.minimum(self._own_lengths[rows], ends)
        size = int((ends - starts).max())
        if size > 0:
            columns = torch.from_numpy(starts[:, None] + np.arange(size))
            chain, end = tokens.gather(1, columns.clamp(max=tokens.shape[1] - 1)), int(starts.max()) + size
            mapping = SlotMapping(rows.tolist(), columns, end)
            embedded = self._embed(self._to(chain.clamp(min=0)))
            self._begin(self._own, mapping)
            keys, values = self.stack.own.project(embedded)
            self._own.update(rotate(keys, self.stack.own_turns(embedded, self._to(columns), end)), values, 0)
        self._own_lengths[rows] = ends

    def recall(self, rows: Array) -> Recalled:
        """Gather what some rows read of the memory, until more is learnt."""
        known = self._known[rows]
        nowhere = torch.empty(len(rows), 0, dtype=torch.int64)
        self._begin(self._memory, SlotMapping(rows.tolist(), nowhere, known.shape[1]))
        nothing = torch.empty(len(rows), *self._shape, dtype=self.dtype, device=self.device)
        memory: KeysValues = self._memory.update(nothing, nothing, 0)
        if known.all() and known.shape[1]:
            return Recalled(rows, memory)
        visible = self._to(torch.from_numpy(known))[:, None, None]
        blind = ~visible.any(-1, keepdim=True)
        return Recalled(rows, memory, visible | blind, blind)

    def read(
        self,
        tokens: Int[Tensor, "R M"],
        tree: TreePass,
        recalled: Recalled,
        only: Int[Tensor, " R"] | None = None,
    ) -> Float[Tensor, "R _ V"]:
        """Give logits of what follows nodes that stand behind `tree.lengths` decided tokens.

        If only one node per row is asked about, by its place among them, the others are read for those behind it.
        """
        mapping, stack = SlotMapping(recalled.rows.tolist(), tree.columns, tree.end), self.stack
        masks, tokens = _Masks(tree, self._last_dtype, self.device), self._to(tokens.clamp(min=0))
        embedded = self._embed(tokens)
        own_turns, cross_turns, last_turns = stack.turns(embedded, self._to(tree.positions), tree.end)
        self._begin(self._own, mapping)
        queries, own = stack.query_and_project(tokens, embedded, own_turns)
        states = stack.own.attend(embedded, queries, self._own.update(*own, 0), masks(None).to(self.dtype))
        states = self.predict(states, stack.cross.query(states, cross_turns), recalled)
        if self.parts.layers:
            self._begin(self._last, mapping)
            states = stack.finish(states.to(self._last_dtype), last_turns, masks, self._last)
        if only is not None:
            states = states[torch.arange(len(tokens)), self._to(only)][:, None]
        logits: Tensor = self.parts.head(states.to(self._last_dtype))
        return logits

    def predict(
        self, states: Float[Tensor, "R M E"], queries: Float[Tensor, "R H M D"], recalled: Recalled
    ) -> Float[Tensor, "R M E"]:
        """Read the memory: what that gives is the target's feature as predicted."""
        return self.stack.cross.attend(states, queries, recalled.memory, recalled.visible, recalled.blind)

    def _embed(self, tokens: Int[Tensor, "R M"]) -> Float[Tensor, "R M E"]:
        embedded: Tensor = self.parts.embed(tokens).to(self.dtype)
        return embedded

    def _begin(self, cache: SlotCache, mapping: SlotMapping) -> None:
        cache.reserve(self.count, mapping.end)
        cache.begin(mapping)

    def _to(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)


class _Masks:
    """Builds each mask of a pass once."""

    def __init__(self, tree: TreePass, dtype: torch.dtype, device: torch.device) -> None:
        self._tree, self._dtype, self._device = tree, dtype, device
        self._built: dict[int | None, Tensor] = {}

    def __call__(self, window: int | None) -> Tensor:
        if window not in self._built:
            self._built[window] = self._tree.mask(self._dtype, window).to(self._device)
        return self._built[window]
