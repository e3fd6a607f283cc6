"""A transformers model that reads trees, its rows in slots that join and leave between passes."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from attrs import define, frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from specdec.target.cache import SlotCache, Window
from specdec.target.masks import Layout
from specdec.target.support import decoder_layers, head_shapes, layer_types, refuse_unsupported, text_config


@define(eq=False)
class Slot:
    """One row's place: `length` decided tokens are stored; what was read beyond them counts for nothing."""

    index: int
    length: int = 0


@frozen(eq=False)
class Reading:
    """What a pass said of each node: logits, if asked for, and the hidden states asked for."""

    logits: Float[Tensor, "R M V"] | None
    hidden_states: dict[int, Float[Tensor, "R M E"]]


class Engine:
    """Reads tokens into slots and keeps what was decided, so that memory never holds anything else.

    Nothing that is read counts until it is kept: a pass may be repeated, or its nodes left to be overwritten.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        refuse_unsupported(model)
        self.model = model.eval()
        self.config = text_config(model)
        self.vocab_size = int(self.config.vocab_size)
        self.max_length: int | None = getattr(self.config, "max_position_embeddings", None)
        self.layers = decoder_layers(model)
        self._device, self._dtype = model.device, model.dtype  # transformers looks for them among all weights
        self._kinds = sorted(set(layer_types(model)))
        self._slots: list[Slot] = []
        self.cache = SlotCache(head_shapes(model), self._dtype, self._device)

    def open(self, columns: int = 0) -> Slot:
        """Give a new row an empty slot, with room for this many tokens."""
        slot = Slot(len(self._slots))
        self.cache.reserve(slot.index + 1, columns)
        self.cache.wipe(slot.index)
        self._slots.append(slot)
        return slot

    def close(self, slot: Slot) -> None:
        """Let a row leave; the last slot moves into its place, so that slots stay without gaps.

        What the moved row read and did not keep is lost.
        """
        last = self._slots.pop()
        if last is not slot:
            self.cache.copy(last.index, slot.index, last.length)
            self.cache.wipe(slot.index, last.length)
            self._slots[slot.index] = last
            last.index = slot.index

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
        """Read nodes behind the decided tokens of their rows, after the `C - M` nodes read before them.

        Slots in the order of their indices are read in place; any other order costs a copy.
        """
        lengths, indices = np.array([(slot.length, slot.index) for slot in slots]).T
        layout = Layout(torch.from_numpy(lengths), depths, visible)
        self.cache.reserve(len(self._slots), layout.end)
        self.cache.look(Window(indices, layout.columns, layout.end))
        captured: dict[int, Tensor] = {}
        with torch.inference_mode(), ExitStack() as hooks:
            for index in hidden_states:
                hooks.callback(self._hook(index, captured).remove)
            said = self._forward(
                logits,
                input_ids=self._to(torch.from_numpy(np.maximum(tokens.numpy(), 0))),
                position_ids=self._to(layout.positions),
                attention_mask=self._mask(layout),
                past_key_values=self.cache,
                use_cache=True,
            )
        return Reading(said, captured)

    def keep(self, slot: Slot, nodes: Sequence[int]) -> None:
        """Count these nodes as decided, in this order, and forget the others."""
        if list(nodes) != list(range(len(nodes))):
            self.cache.move(slot.index, self._to(torch.tensor(nodes) + slot.length), slot.length)
        slot.length += len(nodes)

    def forget(self, slot: Slot) -> None:
        """Wipe what was read and not kept."""
        self.cache.wipe(slot.index, slot.length)

    def keys_values(
        self, layers: Sequence[int], slots: Sequence[Slot], columns: Int[Tensor, "R K"]
    ) -> tuple[Float[Tensor, "R K L H D"], Float[Tensor, "R K L H D"]]:
        """Copy out these layers' keys, after rotary embedding, and values at these positions.

        Raises:
            UnsupportedModel: the layers differ in their head shapes.
        """
        every = range(len(self.layers))
        indices = self._to(torch.tensor([slot.index for slot in slots]))
        return self.cache.columns([every[layer] for layer in layers], indices, self._to(columns))

    def _to(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device, non_blocking=True)

    def _forward(self, logits: bool, **inputs: Any) -> Tensor | None:
        if not logits:
            self.model.base_model(**inputs)
            return None
        said: Tensor = self.model(**inputs).logits
        return said

    def _mask(self, layout: Layout) -> Tensor | dict[str, Tensor]:
        masks = {kind: self._to(layout.mask(self._dtype, self._window(kind))) for kind in self._kinds}
        return masks if len(masks) > 1 else masks[self._kinds[0]]

    def _window(self, kind: str) -> int | None:
        return int(self.config.sliding_window) if kind == "sliding_attention" else None

    def _hook(self, index: int, captured: dict[int, Tensor]) -> torch.utils.hooks.RemovableHandle:
        """Catch a hidden state as it passes; index i enters layer i, the last leaves the norm."""
        layer = range(len(self.layers) + 1)[index]

        def enter(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            captured[index] = args[0] if args else kwargs["hidden_states"]

        def leave(_: Any, __: Any, output: Any) -> None:
            captured[index] = output[0]

        if layer < len(self.layers):
            return self.layers[layer].register_forward_pre_hook(enter, with_kwargs=True)
        norm: torch.nn.Module = self.model.base_model
        return norm.register_forward_hook(leave)
