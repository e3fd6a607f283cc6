"""The engine: whatever is read, kept, opened and closed, the cache holds the decided tokens and no more."""

import gc
from collections.abc import Callable, Sequence
from time import thread_time
from typing import Any

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from specdec import PADDING
from specdec.target import Engine, Slot, SlotCache, SlotMapping
from tests.toys import ARCHITECTURES, VOCAB, build, prompt, tiny

SIZE = 5
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


def opened(engine: Engine, lengths: Sequence[int]) -> list[Slot]:
    slots = [engine.open(length) for length in lengths]
    for slot, length in zip(slots, lengths, strict=True):
        read_chain(engine, slot, prompt(length))
        engine.keep(slot, range(length))
    return slots


@pytest.mark.parametrize(("order", "in_place"), [((2, 3, 4), True), ((0,), True), ((0, 2), False), ((4, 3), False)])
def test_neighbours_are_read_in_place(order: tuple[int, ...], in_place: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever the first is; and what is read does not depend on that."""
    engine, storages, update = Engine(tiny()), list[int](), SlotCache.update

    def spied(cache: SlotCache, *args: Any) -> tuple[Tensor, Tensor]:
        states = update(cache, *args)
        storages.append(states[0].untyped_storage().data_ptr())
        return states

    slots = opened(engine, (4, 9, 1, 17, 6))
    trees = tree_inputs([prompt(4, seed) for seed in range(len(order))], [[-1, 0, 0, 1]] * len(order))
    with monkeypatch.context() as patch:
        patch.setattr(SlotCache, "update", spied)
        together = engine.read([slots[row] for row in order], *trees).logits
    blocks = [block.untyped_storage().data_ptr() for block in engine.cache._blocks.values()]
    alone = [engine.read([slots[row]], *(part[i : i + 1] for part in trees)).logits for i, row in enumerate(order)]

    assert all((storage in blocks) == in_place for storage in storages)
    torch.testing.assert_close(together, torch.cat([part for part in alone if part is not None]), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("bucket", "shapes"), [(1, 40), (8, 5), (32, 2), (64, 1)])
def test_passes_end_at_multiples_of_the_bucket(bucket: int, shapes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ends, begin = list[int](), SlotCache.begin

    def spied(cache: SlotCache, mapping: SlotMapping, **options: Any) -> None:
        ends.append(mapping.end)
        begin(cache, mapping, **options)

    monkeypatch.setattr(SlotCache, "begin", spied)
    engine = Engine(tiny(), bucket=bucket)
    slot = engine.open()
    for token in prompt(40):
        read_chain(engine, slot, [token])
        engine.keep(slot, [0])

    assert all(end % bucket == 0 for end in ends)
    assert len(set(ends)) == shapes


def test_memory_does_not_grow_with_the_number_of_steps() -> None:
    """Sixty rejected trees take no more room than one, and slots that are free are used again."""
    engine = Engine(tiny())
    slot = engine.open(16)
    read_chain(engine, slot, prompt(8))
    engine.keep(slot, range(8))
    read_chain(engine, slot, prompt(8))
    before = engine.cache.nbytes
    for _ in range(60):
        read_chain(engine, slot, prompt(8))
    after = engine.cache.nbytes
    sizes = set()
    for _ in range(5):
        other = engine.open()
        read_chain(engine, other, prompt(8))
        sizes.add(engine.cache.nbytes)
        engine.close(other)
        sizes.add(engine.cache.nbytes)

    assert after == before
    assert sizes == {2 * before}


def test_memory_grows_with_the_length_at_most_doubling() -> None:
    engine = Engine(tiny(), bucket=1)
    slot = engine.open()
    for token in range(100):
        read_chain(engine, slot, [token % VOCAB])
        engine.keep(slot, [0])
    exact = Engine(tiny(), bucket=1)
    opened(exact, [100])

    assert exact.cache.nbytes <= engine.cache.nbytes <= 2 * exact.cache.nbytes


def test_memory_grows_with_the_slots_at_most_doubling() -> None:
    """So that keys and values are copied six times for 64 rows; those opened before any is read are not copied."""
    engine, sizes = Engine(tiny()), list[int]()
    for _ in range(64):
        opened(engine, [20])
        sizes.append(engine.cache.nbytes)
    together = Engine(tiny())
    slots = [together.open(20) for _ in range(5)]
    assert together.cache.nbytes == 0
    read_chain(together, slots[0], prompt(20))

    assert sorted(set(sizes)) == [sizes[0] * 2**times for times in range(7)]
    assert together.cache.nbytes == 5 * sizes[0]


def test_opening_sequences_one_after_the_other_costs_little() -> None:
    """64 sequences with room for 300 tokens, in at most three times what it takes to read a token of each."""

    def read_one() -> None:
        engine = Engine(tiny())
        slot = engine.open(300)
        for _ in range(64):
            read_chain(engine, slot, [3])

    def read_each() -> None:
        engine = Engine(tiny())
        for _ in range(64):
            read_chain(engine, engine.open(300), [3])
        assert engine.cache.nbytes >= 64 * 300 * BYTES

    assert min(timed(read_each) for _ in range(3)) < 3 * min(timed(read_one) for _ in range(3))


def timed(function: Callable[[], None]) -> float:
    start = thread_time()
    function()
    return thread_time() - start


def memory() -> int:
    """Bytes of all tensors that are still alive."""
    tensors = [thing for thing in gc.get_objects() if type(thing) is Tensor]
    return sum({part.data_ptr(): part.nbytes() for part in (tensor.untyped_storage() for tensor in tensors)}.values())


def test_memory_is_given_back() -> None:
    """All of it with the last row, views of the last pass included; before, all but four times what is needed."""
    engine = Engine(tiny())
    before = memory()
    slots = opened(engine, [40] * 16)
    full = memory() - before
    engine.close(*slots[:14])
    few, tokens = memory() - before, prompt(40)
    for slot in slots[14:]:
        assert_whole(engine, slot, tokens)
        engine.close(slot)

    assert full >= 16 * 40 * BYTES
    assert few <= full / 4
    assert memory() == before
    assert engine.cache.nbytes == 0


def test_a_long_row_gives_back_its_columns() -> None:
    engine = Engine(tiny())
    short, long = opened(engine, [10, 120])
    before = engine.cache.nbytes
    engine.close(long)

    assert engine.cache.nbytes < before / 4
    assert_whole(engine, short, prompt(10))


def test_a_path_without_gaps_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are moved at once, for all rows."""
    moves, move = list[list[Tensor]](), SlotCache.move

    def spied(cache: SlotCache, *where: Tensor) -> None:
        moves.append([*where])
        move(cache, *where)

    monkeypatch.setattr(SlotCache, "move", spied)
    engine = Engine(tiny())
    slots = opened(engine, [3, 7])
    trees = tree_inputs([prompt(5), prompt(5, 1)], [[-1, 0, 0, 1, 2]] * 2)
    engine.read(slots, *trees)
    engine.keep_all(slots, [[0, 1], [0]])
    assert not moves
    engine.read(slots, *trees)
    engine.keep_all(slots, [[0, 1, 3], [0, 2, 4]])
    ((rows, sources, columns),) = moves

    assert rows.tolist() == [0, 1, 1]
    assert sources.tolist() == [5 + 3, 8 + 2, 8 + 4]
    assert columns.tolist() == [5 + 2, 8 + 1, 8 + 2]
    for slot, seed, text in ((slots[0], 0, [0, 1, 0, 1, 3]), (slots[1], 1, [0, 0, 2, 4])):
        start = prompt(3 if seed == 0 else 7)
        assert_whole(engine, slot, [*start, *(prompt(5, seed)[node] for node in text)])
