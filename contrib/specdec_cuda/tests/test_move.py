"""The accepted path's keys and values move as `SlotCache.move` moves them."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from specdec_cuda.kernels.move import move

from specdec.target.cache import SlotCache

SLOTS, COLUMNS, DEPTH = 3, 24, 5
SHAPES = [(2, 6), (2, 6), (1, 8)]


@given(data=st.data())
@settings(max_examples=15)
def test_columns_move_in_place_as_the_cache_moves_them(data: st.DataObject) -> None:
    """Into slots in any order; rows that decided nothing keep what they have."""
    slots = data.draw(st.permutations(range(SLOTS)))[: data.draw(st.integers(1, SLOTS))]
    decided = [data.draw(st.integers(1, 10)) for _ in slots]
    paths = [[0, *sorted(data.draw(st.sets(st.integers(1, 12), max_size=DEPTH)))] for _ in slots]
    paths[0] = data.draw(st.sampled_from([paths[0], []]))

    cache = SlotCache(SHAPES, torch.bfloat16, torch.device("cpu"))
    cache.reserve(SLOTS, COLUMNS)
    for block in cache._blocks.values():
        block.copy_(torch.arange(block.numel()).remainder(251).view_as(block))
    moved = [block.clone() for block in cache._blocks.values()]

    padded = torch.tensor([[*path, *range(len(path), DEPTH + 1)] for path in paths])
    for block in moved:
        move(block, torch.tensor(slots), torch.tensor(decided), padded)
    cache.move(torch.tensor(slots), torch.tensor(decided), padded)

    for block, expected in zip(moved, cache._blocks.values(), strict=True):
        assert torch.equal(block, expected)
