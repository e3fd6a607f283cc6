"""Room in the cache: it grows by doubling, is used again, and is given back."""

import gc
from collections.abc import Callable
from time import thread_time

import pytest
import torch
from torch import Tensor

from specdec.target import Engine, SlotCache
from tests.specdec.target.readings import BYTES, assert_whole, opened, read_chain
from tests.toys import VOCAB, prompt, tiny


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
    tensors = [thing for thing in gc.get_objects() if type(thing) is Tensor and thing.layout == torch.strided]
    return sum({part.data_ptr(): part.nbytes() for part in (tensor.untyped_storage() for tensor in tensors)}.values())


def test_memory_is_given_back() -> None:
    """All of it with the last row, views of the last pass included; before, all but four times what is needed."""
    engine = Engine(tiny())
    (first,) = opened(engine, [3])
    assert_whole(engine, first, prompt(3))  # makes what is made only once, indices of layers
    engine.close(first)
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


def test_opening_and_closing_moves_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many short rows, each that joins or leaves costs as little as the last; only doubling copies."""
    copies, resize = [], SlotCache._resize

    def counted(self: SlotCache, slots: int, columns: int, stays: tuple[int, int]) -> None:
        if (slots, columns) != self._room:
            copies.append((slots, columns))
        resize(self, slots, columns, stays)

    monkeypatch.setattr(SlotCache, "_resize", counted)
    engine = Engine(tiny())
    slots = [slot for _ in range(64) for slot in opened(engine, [3])]
    for slot in slots[::-1]:
        engine.close(slot)
        if engine.cache.nbytes:
            read_chain(engine, slots[0], [1])

    assert len(copies) <= 2 * 8
