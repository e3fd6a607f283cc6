"""What tests read with an engine, and what its cache must then hold: that of one plain reading."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from specdec.target import Engine, Slot
from tests.toys import VOCAB, build, prompt

BYTES = 2 * 2 * 2 * 8 * 8
"""What a token takes: layers, keys and values, heads, head size, bytes of a number."""
POISON = VOCAB - 1
"""A token whose embedding is not a number, in models that are poisoned."""


def poisoned(kind: str = "llama", **options: Any) -> PreTrainedModel:
    model = build(kind, **options)
    model.get_input_embeddings().weight[POISON] = torch.nan
    return model


def rebuilt(model: PreTrainedModel, tokens: list[int]) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of each layer, [H, T, D], from one plain reading."""
    cache = DynamicCache()
    with torch.no_grad():
        model(torch.tensor([tokens]), past_key_values=cache, use_cache=True)
    return [(layer.keys[0], layer.values[0]) for layer in cache.layers]


def stored(engine: Engine, slot: Slot) -> list[tuple[Tensor, Tensor]]:
    columns = torch.arange(slot.length)[None]
    pairs = [engine.keys_values([layer], [slot], columns) for layer in range(len(engine.layers))]
    return [(keys[0, :, 0].transpose(0, 1), values[0, :, 0].transpose(0, 1)) for keys, values in pairs]


def assert_whole(engine: Engine, slot: Slot, tokens: list[int]) -> None:
    assert slot.length == len(tokens)
    if tokens:
        for have, want in zip(stored(engine, slot), rebuilt(engine.model, tokens), strict=True):
            torch.testing.assert_close(have[0], want[0], rtol=0, atol=1e-10)
            torch.testing.assert_close(have[1], want[1], rtol=0, atol=1e-10)


def chain(tokens: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    size = len(tokens)
    return torch.tensor([tokens]), torch.arange(size)[None], torch.ones(1, size, size).tril().bool()


def read_chain(engine: Engine, slot: Slot, tokens: list[int], **options: Any) -> Any:
    return engine.read([slot], *chain(tokens), **options)


def tree_inputs(tokens: list[list[int]], parents: list[list[int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, depths and visibility by the definition, node by node."""
    depths = torch.zeros(len(tokens), len(tokens[0]), dtype=torch.int64)
    visible = torch.eye(len(tokens[0])).bool().repeat(len(tokens), 1, 1)
    for row, above in enumerate(parents):
        for node, parent in enumerate(above):
            if parent >= 0:
                depths[row, node] = depths[row, parent] + 1
                visible[row, node] |= visible[row, parent]
    return torch.tensor(tokens), depths, visible


def path_to(parents: list[int], node: int) -> list[int]:
    return [] if node < 0 else [*path_to(parents, parents[node]), node]


def opened(engine: Engine, lengths: Sequence[int]) -> list[Slot]:
    slots = [engine.open(length) for length in lengths]
    for slot, length in zip(slots, lengths, strict=True):
        read_chain(engine, slot, prompt(length))
        engine.keep(slot, range(length))
    return slots
