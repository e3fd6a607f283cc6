"""Where a pass reads and what it moves: neighbours in place, ends in buckets, accepted paths at once."""

from typing import Any

import pytest
import torch
from torch import Tensor

from specdec.target import Engine, SlotCache, SlotMapping
from tests.specdec.target.readings import assert_whole, opened, read_chain, tree_inputs
from tests.toys import prompt, tiny


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
    ((rows, starts, paths),) = moves

    assert rows.tolist() == [0, 1]
    assert starts.tolist() == [5, 8]
    assert paths.tolist() == [[0, 1, 3], [0, 2, 4]]
    for slot, seed, text in ((slots[0], 0, [0, 1, 0, 1, 3]), (slots[1], 1, [0, 0, 2, 4])):
        start = prompt(3 if seed == 0 else 7)
        assert_whole(engine, slot, [*start, *(prompt(5, seed)[node] for node in text)])
