"""A transformers model that reads trees, of sequences that join and leave between passes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from attrs import define, frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from specdec.errors import ModelChanged
from specdec.pack import widened
from specdec.target.attention import Attention, DenseMask
from specdec.target.cache import SlotCache
from specdec.target.positions import position_limit
from specdec.target.probe import check_reading
from specdec.target.requirements import first_reading, refuse_unsupported, unwrapped
from specdec.target.slot_mapping import SlotMapping
from specdec.target.support import capture, decoder_layers, evaluating, exclusive, layer_windows, text_config
from specdec.target.tree_pass import TreePass
from specdec.transfer import upload

BUCKET = 32
"""Columns to a multiple of which the end of a pass is rounded up: more cost time on a CPU, fewer make more shapes."""


@define(eq=False)
class Slot:
    """One sequence's place: `length` decided tokens are stored; what was read beyond them counts for nothing."""

    index: int
    length: int = 0
    room: int = 0
    """For how many tokens there is room as soon as any are read."""


@frozen(eq=False)
class Reading:
    """What a pass computed for each node: logits, if wanted, and the hidden states wanted, by their index."""

    logits: Float[Tensor, "R M V"] | None
    hidden_states: Mapping[int, Float[Tensor, "R M E"]]

    def first(self, nodes: int) -> "Reading":
        """Leave out what was computed for more nodes than these."""
        logits = None if self.logits is None else self.logits[:, :nodes]
        return Reading(logits, {index: states[:, :nodes] for index, states in self.hidden_states.items()})


@frozen
class Plan:
    """The host's description of a pass: everything that determines its operations and their shapes.

    Without `decided` it covers every pass of that shape; only values on the device differ.
    """

    slots: tuple[int, ...]
    decided: tuple[int, ...] | None
    end: int
    hidden_states: tuple[int, ...] = ()
    logits: bool = True


Run = Callable[["Engine", Plan, Tensor, Tensor, Tensor, Tensor], Reading]
"""Runs a pass: `Engine.compute`, or a replay of a captured one."""


class Engine:
    """Reads tokens into slots and keeps what was decided, so that memory never holds anything else.

    Nothing that is read counts until it is kept: a pass may be repeated, or its nodes left to be overwritten.
    """

    def __init__(self, model: nn.Module, attention: Attention | None = None, *, bucket: int = BUCKET) -> None:
        """Use a loaded model as it is; a pass reads a multiple of `bucket` columns, so that its shapes repeat.

        Raises:
            UnsupportedModel: it does not read trees, chunks of a text or texts side by side as it reads one text.
        """
        self.attention = attention or DenseMask()
        self.model = unwrapped(model)
        refuse_unsupported(self.model, self.attention)
        self.config = text_config(self.model)
        self.vocab_size = int(self.config.vocab_size)
        limit = position_limit(self.config)
        self.max_length, self.length_advice = limit.tokens, limit.advice
        self._windows = layer_windows(self.config)
        shapes, self.dtype, self.device = first_reading(self.model)
        self.layers = decoder_layers(self.model)
        self.cache = SlotCache(shapes, self.dtype, self.device)
        self.bucket, self.node_bucket = bucket, 1
        self.run: Run = Engine.compute
        self.keeps_room = False
        """Whether memory stays where it is when the last sequence leaves, for whoever has captured where that is."""
        self._slots: list[Slot] = []
        self._embedding = self.model.get_input_embeddings()
        self._setup = self._current_setup()
        check_reading(self)

    def open(self, columns: int = 0) -> Slot:
        """Give a new sequence an empty slot, and room for this many tokens when any are read."""
        slot = Slot(len(self._slots), room=columns)
        self._slots.append(slot)
        return slot

    def close(self, *slots: Slot) -> None:
        """Let sequences leave; the last slots move into their places, so that slots stay without gaps.

        Memory that is no longer needed is given back; with `keeps_room`, that of the last sequences once others read.
        """
        for slot in sorted(slots, key=lambda slot: -slot.index):
            last = self._slots.pop()
            if last is not slot:
                self.cache.copy(last.index, slot.index)
                self._slots[slot.index] = last
                last.index = slot.index
        if slots and (self._slots or not self.keeps_room):
            least = self.bucket // 4 + 1  # of which one bucket is less than four times as much
            columns = max((least, *(slot.room for slot in self._slots))) if self._slots else 0
            self.cache.release(len(self._slots), columns)

    def read(
        self,
        slots: Sequence[Slot],
        tokens: Int[Tensor, "R M"],
        depths: Int[Tensor, "R C"],
        visible: Bool[Tensor, "R M C"],
        *,
        hidden_states: Sequence[int] = (),
        logits: bool = True,
    ) -> Reading:
        """Read nodes after the decided tokens of their sequences, and after the `C - M` nodes read before them.

        Every row begins with a token, which is read in place of its padding as well. Slots that are neighbours, in
        the order of their indices, are read in place; others are gathered.
        """
        self._check_unchanged()
        nodes = tokens.shape[1]
        tokens, depths, visible = widened(tokens, depths, visible, -nodes % self.node_bucket)
        stops = self._make_room(slots, depths.shape[1])
        indices, decided = [slot.index for slot in slots], [slot.length for slot in slots]
        plan = Plan(tuple(indices), tuple(decided), self._rounded(max(stops)), tuple(hidden_states), logits)
        inputs = upload(self.device, tokens, depths, visible, torch.tensor([decided, indices]))
        return self.run(self, plan, *inputs).first(nodes)

    def compute(
        self,
        plan: Plan,
        tokens: Int[Tensor, "R M"],
        depths: Int[Tensor, "R C"],
        visible: Bool[Tensor, "R M C"],
        numbers: Int[Tensor, "2 R"],
    ) -> Reading:
        """Make the pass; all tensors are on the device, and `numbers` are `plan.decided` and `plan.slots` again."""
        tree = self._begin(plan, depths, visible, numbers)
        with (
            exclusive(self.model),
            torch.inference_mode(),
            evaluating(self.model),
            capture(self.model, self.layers, plan.hidden_states) as captured,
        ):
            output: Any = (self.model if plan.logits else self.model.base_model)(
                input_ids=torch.where(tokens < 0, tokens[:, :1], tokens),
                position_ids=tree.positions,
                attention_mask=self._mask(tree),
                past_key_values=self.cache,
                use_cache=True,
            )
        return Reading(output.logits if plan.logits else None, captured)

    def keep(self, slot: Slot, nodes: Sequence[int]) -> None:
        """Count these nodes as decided, in this order, and forget the others."""
        self.keep_all([slot], [nodes])

    def keep_all(self, slots: Sequence[Slot], paths: Sequence[Sequence[int]]) -> None:
        """Count nodes of each slot as decided, in their order, and forget the others; all are moved at once."""
        moved = [(slot, path) for slot, path in zip(slots, paths, strict=True) if [*path] != [*range(len(path))]]
        if moved:
            longest = max(len(path) for _, path in moved)
            rows = [[slot.index, slot.length, *path, *range(len(path), longest)] for slot, path in moved]
            (numbers,) = upload(self.device, torch.tensor(rows))
            self.cache.move(numbers[:, 0], numbers[:, 1], numbers[:, 2:])
        for slot, path in zip(slots, paths, strict=True):
            slot.length += len(path)

    def keys_values(
        self, layers: Sequence[int], slots: Sequence[Slot], columns: Int[Tensor, "R K"]
    ) -> tuple[Float[Tensor, "R K L H D"], Float[Tensor, "R K L H D"]]:
        """Copy out these layers' keys, after rotary embedding, and values at these positions.

        Raises:
            UnsupportedModel: the layers differ in their head shapes.
        """
        every = range(len(self.layers))
        indices, columns = upload(self.device, torch.tensor([slot.index for slot in slots]), columns)
        return self.cache.columns([every[layer] for layer in layers], indices, columns)

    def _make_room(self, slots: Sequence[Slot], columns: int) -> list[int]:
        """Make room for so many columns after what is decided; say where that ends in each slot."""
        stops = [slot.length + columns for slot in slots]
        for slot, stop in zip(slots, stops, strict=True):
            slot.room = max(slot.room, stop)
        if self.keeps_room:
            self.cache.release(len(self._slots), self._rounded(max(slot.room for slot in self._slots)))
        self.cache.reserve(len(self._slots), self._rounded(max(slot.room for slot in slots)))
        for slot, stop in zip(slots, stops, strict=True):
            self.cache.clear(slot.index, stop)
        return stops

    def _begin(
        self, plan: Plan, depths: Int[Tensor, "R C"], visible: Bool[Tensor, "R M C"], numbers: Int[Tensor, "2 R"]
    ) -> TreePass:
        """Tell the cache where the pass reads and writes."""
        lengths, rows = numbers
        tree = TreePass(plan.decided or (), depths, visible, plan.end, lengths, rows)
        starts = None if plan.decided is None else tree.starts
        self.cache.begin(
            SlotMapping(plan.slots, tree.columns, plan.end, starts, rows), whole=self.attention.finds_slots
        )
        return tree

    def _rounded(self, columns: int) -> int:
        """Round up to a whole bucket."""
        return -(-columns // self.bucket) * self.bucket

    def _current_setup(self) -> tuple[Any, ...]:
        """What is not to change after slots were made for it."""
        weight = getattr(self._embedding, "weight", None)
        weights = (weight.dtype, weight.device) if isinstance(weight, Tensor) else ()
        return *weights, getattr(self.config, "_attn_implementation", None)

    def _check_unchanged(self) -> None:
        setup = self._current_setup()
        if setup != self._setup:
            was, now = (" ".join(map(str, each)) for each in (self._setup, setup))
            raise ModelChanged(
                f"expected {type(self.model).__name__} as it was given, {was}, got {now}: use it in a new target"
            )

    def _mask(self, tree: TreePass) -> Any:
        """Build what layers of each kind are given."""
        masks = {kind: self.attention.mask(tree, self.dtype, window) for kind, window in self._windows.items()}
        return masks if len(masks) > 1 else next(iter(masks.values()))
