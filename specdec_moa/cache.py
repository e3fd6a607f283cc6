"""Keys and values of a batch's sequences, filled by position."""

from collections.abc import Sequence
from functools import cache

import torch
from attrs import frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor

from specdec import bits, pad, upload
from specdec.heads import KeysValues, RotaryTable, SplitLayer, TargetParts, attend, drafting_copy, rotate
from specdec.target import SlotCache, SlotMapping, TreePass
from specdec_moa.encoder import MoAFeatures
from specdec_moa.last import LastLayers
from specdec_moa.model import MoAModel


@frozen(eq=False)
class Memory:
    """What some sequences read of the target's memory in one step; without a mask, all of it.

    Attention adds nothing to sequences that are `blind`: they know nothing of the target yet.
    """

    sequences: Sequence[int]
    keys_values: KeysValues
    mask: Bool[Tensor, "R 1 1 C"] | None = None
    blind: Bool[Tensor, "R 1 1 1"] | None = None


class MoACache:
    """Keys and values of the tokens themselves, of the target's memory, and of the target's last layers.

    A decided token has the column of its position. Nodes are written after the sequence's decided tokens and
    overwritten by the next tree, so that nothing has to be dropped.
    """

    def __init__(self, model: MoAModel, parts: TargetParts) -> None:
        """Use copies of the weights as they are now."""
        self.parts, self._config = parts, model.config
        self._device, self._dtype, self._target_dtype = parts.device, model.dtype, parts.dtype
        self._self_attention = drafting_copy(SplitLayer.of(model.self_attention))
        self._cross_attention = drafting_copy(SplitLayer.of(model.cross_attention))
        self._last_layers = LastLayers(parts, drafting=True)
        self._self_rotary = RotaryTable(model.self_rotary, model.dtype, parts.device)
        self._cross_rotary = RotaryTable(model.cross_rotary, model.dtype, parts.device)
        self._last_rotary = RotaryTable(parts.rotary, parts.dtype, parts.device)
        self.open(0)

    def open(self, size: int) -> None:
        """Forget all, and make room for a batch of this size."""
        config, self._size = self._config, size
        tokens = (config.self_attention_num_key_value_heads, config.head_dim)
        memory = (config.cross_attention_num_key_value_heads, config.head_dim)
        last = (int(self.parts.config.num_key_value_heads), config.head_dim)
        self._tokens = SlotCache([tokens, tokens], self._dtype, self._device)
        self._memory = SlotCache([memory, memory], self._dtype, self._device)
        self._last = SlotCache([last, last] * max(len(self.parts.layers), 1), self._target_dtype, self._device)
        self._empty = torch.empty(1, memory[0], 0, memory[1], dtype=self._dtype, device=self._device)
        self._known = [0] * size
        """Of each sequence, bit n: whether the memory of token n is there."""
        self._read = [0] * size
        """How many tokens of each sequence have keys and values of their own."""
        self.settled = [0] * size
        """How many tokens of each sequence have keys and values in the last layers, computed or predicted."""

    def learn(self, features: MoAFeatures, starts: Sequence[int], lengths: Sequence[int]) -> None:
        """Take in what the target computed for `lengths` decided tokens of each sequence, from `starts` on."""
        keys, values = features.memory
        ends = [start + length for start, length in zip(starts, lengths, strict=True) if length]
        held = [known.bit_length() for known in self._known]
        places, spare = torch.arange(keys.shape[2]), max(*ends, *held, *self.settled)  # takes what means nothing
        first, count = torch.tensor([starts, lengths])[..., None]
        (columns,) = upload(self._device, torch.where(places < count, first + places, spare))
        whole = starts if min(lengths) == keys.shape[2] else None
        mapping = SlotMapping(range(self._size), columns, spare + 1, whole)
        rotary = self._cross_rotary(columns, mapping.end)
        self._begin(self._memory, mapping)
        self._memory.update(rotate(keys, rotary), values, 0)
        if self.parts.layers:
            self._begin(self._last, mapping)
            for layer in range(len(self.parts.layers)):
                keys, values = (part[:, :, layer].transpose(1, 2) for part in (features.keys, features.values))
                self._last.update(keys.to(self._target_dtype), values.to(self._target_dtype), layer)
        for sequence, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            self._known[sequence] |= ((1 << length) - 1) << start
            if length:
                self.settled[sequence] = max(self.settled[sequence], start + length)

    def cut(self, lengths: Sequence[int]) -> None:
        """Forget all tokens of each sequence after this many."""
        self._known = [known & ((1 << length) - 1) for known, length in zip(self._known, lengths, strict=True)]
        self._read, self.settled = list(map(min, self._read, lengths)), list(map(min, self.settled, lengths))

    def follow(self, tokens: Sequence[Sequence[int]], ends: Sequence[int], sequences: Sequence[int]) -> None:
        """Bring the tokens' own keys and values up to `ends`, of sequences with these tokens."""
        starts = [min(self._read[sequence], end) for sequence, end in zip(sequences, ends, strict=True)]
        chains = pad([row[start:end] for row, start, end in zip(tokens, starts, ends, strict=True)], 0)
        if chains.shape[1]:
            columns = torch.tensor(starts)[:, None] + torch.arange(chains.shape[1])
            columns, chains = upload(self._device, columns, chains)
            mapping = SlotMapping(sequences, columns, max(starts) + chains.shape[1], starts)
            keys, values = self._self_attention.keys_values(self._embed(chains))
            rotary = self._self_rotary(columns, mapping.end)
            self._begin(self._tokens, mapping)
            self._tokens.update(rotate(keys, rotary), values, 0)
        for sequence, end in zip(sequences, ends, strict=True):
            self._read[sequence] = end

    def memory(self, sequences: Sequence[int]) -> Memory:
        """Gather what some sequences read of the target's memory, until more is learnt."""
        known = [self._known[sequence] for sequence in sequences]
        width = max(number.bit_length() for number in known)
        nowhere = torch.empty(len(sequences), 0, dtype=torch.int64, device=self._device)
        self._begin(self._memory, SlotMapping(sequences, nowhere, width, [0] * len(sequences)))
        nothing = self._empty.expand(len(sequences), -1, -1, -1)
        keys_values: KeysValues = self._memory.update(nothing, nothing, 0)
        if width and all(number == (1 << width) - 1 for number in known):
            return Memory(sequences, keys_values)
        visible = upload(self._device, bits([[number] for number in known], width))[0][:, None]
        blind = ~visible.any(-1, keepdim=True)
        return Memory(sequences, keys_values, visible | blind, blind)

    def read(
        self,
        tokens: Int[Tensor, "R M"],
        tree: TreePass,
        memory: Memory,
        only: Sequence[int] | None = None,
    ) -> Float[Tensor, "R _ W"]:
        """Give logits of what follows nodes that stand after `tree.decided` tokens.

        With `only` one node per row, by its place among them: the others are read for those after them.
        """
        tree, (tokens,) = tree.on(self._device), upload(self._device, tokens.clamp(min=0))
        mapping = SlotMapping(memory.sequences, tree.columns, tree.end, tree.starts)
        masks = cache(lambda window: tree.mask(self._target_dtype, window))
        embedded = self._embed(tokens)
        queries, own = self._self_attention.project(embedded, self._self_rotary(tree.positions, tree.end))
        self._begin(self._tokens, mapping)
        read = attend(queries, self._tokens.update(*own, 0), masks(None).to(self._dtype))
        states = self._self_attention.finish(embedded, read)
        states = self.predict(states, tree.positions, tree.end, memory)
        if self.parts.layers:
            self._begin(self._last, mapping)
            rotary = self._last_rotary(tree.positions, tree.end)
            states = self._last_layers(states.to(self._target_dtype), rotary, masks, self._last)
        if only is not None:
            (last,) = upload(self._device, torch.tensor(only))
            states = states[torch.arange(len(only), device=self._device), last][:, None]
        logits: Tensor = self.parts.head(states.to(self._target_dtype))
        return logits

    def predict(
        self, states: Float[Tensor, "R M E"], positions: Int[Tensor, "R M"], end: int, memory: Memory
    ) -> Float[Tensor, "R M E"]:
        """Read the memory: what that gives is the target's feature as predicted."""
        layer = self._cross_attention
        queries = layer.query(states, self._cross_rotary(positions, end))
        read = attend(queries, memory.keys_values, memory.mask)
        return layer.finish(states, read if memory.blind is None else read.masked_fill(memory.blind, 0.0))

    def _embed(self, tokens: Int[Tensor, "R M"]) -> Float[Tensor, "R M E"]:
        embedded: Tensor = self.parts.embed(tokens).to(self._dtype)
        return embedded

    def _begin(self, cache: SlotCache, mapping: SlotMapping) -> None:
        cache.reserve(self._size, mapping.end)
        cache.begin(mapping)
