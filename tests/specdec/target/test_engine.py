"""The engine: whatever is read, accepted, opened and closed, the cache holds the decided tokens and no more."""

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from torch import Tensor

from specdec import PADDING
from specdec.target import Engine, Slot
from tests.specdec.target.readings import (
    POISON,
    assert_whole,
    chain,
    opened,
    path_to,
    poisoned,
    read_chain,
    tree_inputs,
)
from tests.toys import ARCHITECTURES, build, prompt, tiny

SIZE = 5


class Engines(RuleBasedStateMachine):
    """Rows come and go; each reads random trees and keeps a random path from the root, or nothing."""

    model = poisoned()

    @initialize(bucket=st.sampled_from([1, 4, 32]))
    def begin(self, bucket: int) -> None:
        self.engine = Engine(self.model, bucket=bucket)
        self.rows: list[tuple[Slot, list[int]]] = []

    @precondition(lambda self: len(self.rows) < 4)
    @rule(columns=st.integers(0, 20))
    def open(self, columns: int) -> None:
        self.rows.append((self.engine.open(columns), []))

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        leaving = data.draw(st.lists(st.sampled_from(self.rows), min_size=1, unique_by=id))
        self.rows = [row for row in self.rows if row not in leaving]
        self.engine.close(*[slot for slot, _ in leaving])

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), size=st.integers(1, SIZE), abort=st.booleans(), leave=st.booleans())
    def step(self, data: st.DataObject, size: int, abort: bool, leave: bool) -> None:
        """Any subset of the rows in any order; keeping the root alone is a rejection, keeping nothing an abort.

        A row may leave between what others read and what they keep.
        """
        chosen = data.draw(st.lists(st.sampled_from(self.rows), min_size=1, unique_by=id))
        token = st.integers(0, POISON - 1)
        tokens = [data.draw(st.lists(token, min_size=size, max_size=size)) for _ in chosen]
        parents = [[-1, *(data.draw(st.integers(0, node - 1)) for node in range(1, size))] for _ in chosen]
        reading = self.engine.read([slot for slot, _ in chosen], *tree_inputs(tokens, parents))
        nodes = [-1 if abort else data.draw(st.integers(0, size - 1)) for _ in chosen]
        for index, (_, decided) in enumerate(chosen):
            self._check_logits(reading.logits[index], decided, tokens[index], parents[index], max(nodes[index], 0))
        if leave and len(chosen) > 1:
            row = chosen.pop()
            self.rows.remove(row)
            self.engine.close(row[0])
        paths = [path_to(parents[index], nodes[index]) for index in range(len(chosen))]
        self.engine.keep_all([slot for slot, _ in chosen], paths)
        for index, (_, decided) in enumerate(chosen):
            decided += [tokens[index][step] for step in paths[index]]

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), size=st.integers(1, 3 * SIZE))
    def poison(self, data: st.DataObject, size: int) -> None:
        """A pass that gives nothing but NaN is given up; what it left must hurt no later one, however short."""
        slot, _ = data.draw(st.sampled_from(self.rows))
        assert read_chain(self.engine, slot, [POISON] * size).logits.isnan().all()

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
    model = poisoned("mistral", sliding_window=11)


class EnginesOfGPT2(Engines):
    model = poisoned("gpt2")


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
    reading = read_chain(engine, engine.open(), tokens, hidden_states=wanted)

    assert reading.hidden_states.keys() == set(wanted)
    for index in wanted:
        torch.testing.assert_close(reading.hidden_states[index], plain[index], rtol=0, atol=1e-6)


def test_no_hook_stays_on_the_model() -> None:
    model = build("llama")
    engine = Engine(model)
    read_chain(engine, engine.open(), prompt(3), hidden_states=(0, 1, -1))

    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_logits_that_are_not_asked_for_are_not_made() -> None:
    engine = Engine(tiny())
    reading = read_chain(engine, engine.open(), prompt(3), logits=False)

    assert reading.logits is None


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_nodes_read_in_turns_are_as_if_read_at_once(kind: str) -> None:
    """A drafter reads level by level, after what it read before."""
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


def two_rows(tokens: list[int]) -> tuple[Tensor, ...]:
    return tuple(part.repeat(2, *[1] * (part.dim() - 1)) for part in chain(tokens))


def test_what_was_not_a_number_and_not_kept_poisons_no_one() -> None:
    """The shorter row's columns are read as far as the longer row's, and to the end of the bucket."""
    engine = Engine(poisoned())
    slots = [engine.open(), engine.open()]
    engine.read(slots, *two_rows(prompt(6)))
    engine.keep_all(slots, [range(2), range(6)])
    assert read_chain(engine, slots[0], [1, *[POISON] * 3]).logits.isnan().any()
    reading = engine.read(slots, *two_rows([3]))

    assert reading.logits is not None
    assert reading.logits.isfinite().all()
    for slot, count in zip(slots, (2, 6), strict=True):
        assert_whole(engine, slot, prompt(6)[:count])


def test_a_slot_that_held_what_is_not_a_number_may_be_opened_again() -> None:
    engine = Engine(poisoned())
    neighbour, slot = engine.open(), engine.open()
    read_chain(engine, slot, [POISON] * 8)
    engine.keep(slot, range(8))
    engine.close(slot)
    again = engine.open()
    reading = read_chain(engine, again, prompt(3))
    engine.keep(again, range(3))

    assert (neighbour.index, again.index) == (0, 1)
    assert reading.logits.isfinite().all()
    assert_whole(engine, again, prompt(3))


def test_what_was_read_may_be_kept_after_others_have_left() -> None:
    engine = Engine(tiny())
    short, long = opened(engine, [1, 6])
    read_chain(engine, long, [4, 5, 6])
    engine.close(short)
    engine.keep(long, range(3))

    assert long.index == 0
    assert_whole(engine, long, [*prompt(6), 4, 5, 6])


def test_what_was_not_a_number_hurts_no_more_once_its_slot_has_moved() -> None:
    engine = Engine(poisoned())
    short, long = opened(engine, [1, 6])
    read_chain(engine, long, [4, *[POISON] * 4])
    engine.close(short)

    assert read_chain(engine, long, [3]).logits.isfinite().all()
    assert_whole(engine, long, prompt(6))


def test_new_memory_holds_nothing_that_hurts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was in it, as when torch fills it with NaN: after growing in both directions, and after shrinking."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(1).isnan()
        engine = Engine(tiny())
        slots = [slot for length in (3, 40, 1, 70, 9) for slot in opened(engine, [length])]
        for rows in (slots, slots[:1]):
            trees = tree_inputs([[3]] * len(rows), [[-1]] * len(rows))
            logits = engine.read(rows, *trees).logits
            assert logits is not None
            assert logits.isfinite().all()
            engine.close(*slots[1:])
            del slots[1:]
    finally:
        torch.use_deterministic_algorithms(deterministic)


def test_padding_is_read_as_a_token_of_its_row() -> None:
    """A token 0 that is not a number hurts no row without it."""
    model = build("llama")
    engine = Engine(model)
    slots, tokens = [engine.open(), engine.open()], [[5, 3, 4], [9, PADDING, PADDING]]
    model.get_input_embeddings().weight[0] = torch.nan
    logits = engine.read(slots, *tree_inputs(tokens, [[-1, 0, 1], [-1, -1, -1]])).logits
    alone = read_chain(engine, engine.open(), [9]).logits

    assert logits is not None
    assert logits.isfinite().all()
    torch.testing.assert_close(logits[1, :1], alone[0], rtol=0, atol=1e-12)
