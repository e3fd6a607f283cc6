"""The engine: whatever is read, kept, forgotten, opened and closed, the cache holds the decided tokens and no more."""

from typing import Any

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from specdec.target import Engine, Slot
from tests.toys import ARCHITECTURES, VOCAB, build, prompt, tiny

SIZE = 5


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


class Engines(RuleBasedStateMachine):
    """Rows come and go; each reads random trees and keeps a random path from the root, or nothing."""

    kind = "llama"

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(tiny(self.kind))
        self.rows: list[tuple[Slot, list[int]]] = []

    @precondition(lambda self: len(self.rows) < 4)
    @rule(columns=st.integers(0, 20))
    def open(self, columns: int) -> None:
        self.rows.append((self.engine.open(columns), []))

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        slot, _ = self.rows.pop(data.draw(st.integers(0, len(self.rows) - 1)))
        self.engine.close(slot)

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), size=st.integers(1, SIZE), abort=st.booleans())
    def step(self, data: st.DataObject, size: int, abort: bool) -> None:
        """Any subset of the rows in any order; keeping the root alone is a rejection, keeping nothing an abort."""
        chosen = data.draw(st.lists(st.sampled_from(range(len(self.rows))), min_size=1, unique=True))
        token = st.integers(0, VOCAB - 1)
        tokens = [data.draw(st.lists(token, min_size=size, max_size=size)) for _ in chosen]
        parents = [[-1, *(data.draw(st.integers(0, node - 1)) for node in range(1, size))] for _ in chosen]
        said = self.engine.read([self.rows[row][0] for row in chosen], *tree_inputs(tokens, parents))
        for index, row in enumerate(chosen):
            slot, decided = self.rows[row]
            node = -1 if abort else data.draw(st.integers(0, size - 1))
            path = path_to(parents[index], node)
            self._check_logits(said.logits[index], decided, tokens[index], parents[index], max(node, 0))
            self.engine.keep(slot, path)
            decided += [tokens[index][step] for step in path]

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        self.engine.forget(self.rows[data.draw(st.integers(0, len(self.rows) - 1))][0])

    @invariant()
    def the_cache_is_that_of_the_decided_tokens(self) -> None:
        assert [slot.index for slot, _ in sorted(self.rows, key=lambda row: row[0].index)] == [*range(len(self.rows))]
        for slot, tokens in self.rows:
            assert_whole(self.engine, slot, tokens)

    def _check_logits(
        self, logits: Tensor, decided: list[int], tokens: list[int], parents: list[int], node: int
    ) -> None:
        text = [*decided, *(tokens[step] for step in path_to(parents, node))]
        with torch.no_grad():
            plain = self.engine.model(torch.tensor([text]), use_cache=False).logits[0, -1]
        torch.testing.assert_close(logits[node], plain, rtol=0, atol=1e-6)


class EnginesWithWindows(Engines):
    kind = "mistral"


class EnginesOfGPT2(Engines):
    kind = "gpt2"


TestEngines = Engines.TestCase
TestEnginesWithWindows = EnginesWithWindows.TestCase
TestEnginesOfGPT2 = EnginesOfGPT2.TestCase
TestEngines.settings = settings(max_examples=20, stateful_step_count=15)
TestEnginesWithWindows.settings = TestEnginesOfGPT2.settings = settings(max_examples=10, stateful_step_count=15)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_hidden_states_are_those_of_output_hidden_states(kind: str) -> None:
    """0 is the embedding, i the output of layer i, the last taken after the final norm; negative ones from the end."""
    model, tokens, wanted = tiny(kind), prompt(11), (0, 1, 2, -1, -3)
    with torch.no_grad():
        plain = model(torch.tensor([tokens]), output_hidden_states=True).hidden_states
    engine = Engine(model)
    said = read_chain(engine, engine.open(), tokens, hidden=wanted)

    for place, index in enumerate(wanted):
        torch.testing.assert_close(said.hidden[0, :, place], plain[index][0], rtol=0, atol=1e-6)


def test_no_hook_stays_on_the_model() -> None:
    model = build("llama")
    engine = Engine(model)
    read_chain(engine, engine.open(), prompt(3), hidden=(0, 1, -1))

    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_logits_that_are_not_asked_for_are_not_made() -> None:
    engine = Engine(tiny())
    said = read_chain(engine, engine.open(), prompt(3), logits=False)

    assert said.logits is None


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_nodes_read_in_turns_are_as_if_read_at_once(kind: str) -> None:
    """A drafter reads level by level, behind what it read before."""
    tokens, parents = [[1, 2, 3, 4, 5]], [[-1, 0, 0, 1, 2]]
    engine = Engine(tiny(kind))
    once, turns = engine.open(), engine.open()
    for slot in (once, turns):
        read_chain(engine, slot, prompt(4))
        engine.keep(slot, range(4))
    nodes, depths, visible = tree_inputs(tokens, parents)
    whole = engine.read([once], nodes, depths, visible).logits
    parts = [
        engine.read([turns], nodes[:, a:b], depths[:, :b], visible[:, a:b, :b]).logits for a, b in ((0, 1), (1, 5))
    ]

    torch.testing.assert_close(torch.cat([part for part in parts if part is not None], 1), whole, rtol=0, atol=1e-6)


def test_what_was_not_a_number_and_forgotten_poisons_no_one() -> None:
    model = build("llama")
    engine = Engine(model)
    slots = [engine.open(), engine.open()]
    engine.read(slots, *(part.repeat(2, *[1] * (part.dim() - 1)) for part in chain(prompt(6))))
    for slot, count in zip(slots, (2, 6), strict=True):  # the first row is shorter than how far both are read
        engine.keep(slot, range(count))
    embedding = model.get_input_embeddings().weight
    whole = embedding[9].clone()
    embedding[9] = torch.nan
    assert read_chain(engine, slots[0], [1, 9, 9, 9]).logits.isnan().any()
    engine.forget(slots[0])
    embedding[9] = whole
    said = engine.read(slots, *(part.repeat(2, *[1] * (part.dim() - 1)) for part in chain([3])))

    assert said.logits is not None
    assert said.logits.isfinite().all()
    for slot, count in zip(slots, (2, 6), strict=True):
        assert_whole(engine, slot, prompt(6)[:count])


def test_a_slot_that_held_what_is_not_a_number_may_be_opened_anew() -> None:
    model = build("llama")
    engine = Engine(model)
    embedding = model.get_input_embeddings().weight
    whole = embedding[9].clone()
    embedding[9] = torch.nan
    slot = engine.open()
    read_chain(engine, slot, [9] * 8)
    engine.keep(slot, range(8))
    engine.close(slot)
    embedding[9] = whole
    again = engine.open()
    said = read_chain(engine, again, prompt(3))
    engine.keep(again, range(3))

    assert again.index == 0
    assert said.logits.isfinite().all()
    assert_whole(engine, again, prompt(3))


def storage(engine: Engine) -> int:
    return sum(block.numel() for block in engine.cache._blocks.values())


def test_memory_does_not_grow_with_the_number_of_steps() -> None:
    """Sixty rejected trees take no more room than one, and slots that are free are used again."""
    engine = Engine(tiny())
    slot = engine.open(16)
    read_chain(engine, slot, prompt(8))
    engine.keep(slot, range(8))
    read_chain(engine, slot, prompt(8))
    before = storage(engine)
    for _ in range(60):
        read_chain(engine, slot, prompt(8))
    after = storage(engine)
    for _ in range(5):
        engine.close(engine.open())
    with_two = storage(engine)
    for _ in range(5):
        engine.close(engine.open())

    assert after == before
    assert with_two == 2 * before
    assert storage(engine) == with_two


def test_memory_grows_with_the_length_at_most_doubling() -> None:
    engine = Engine(tiny())
    slot = engine.open()
    for token in range(100):
        read_chain(engine, slot, [token % VOCAB])
        engine.keep(slot, [0])
    one_column = storage(engine) / next(iter(engine.cache._blocks.values())).shape[3]

    assert storage(engine) <= 2 * 100 * one_column
