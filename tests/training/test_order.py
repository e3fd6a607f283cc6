"""Texts of about the same length are read together."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specdec.training.order import ByLength
from tests.training.test_trainer import losses, run


@given(st.lists(st.integers(1, 600), min_size=1, max_size=300), st.integers(1, 9), st.integers(0, 5))
def test_every_text_is_read_once_and_no_two_passes_are_alike(lengths: list[int], batch: int, seed: int) -> None:
    order = ByLength(lengths, batch, seed)
    first = list(order)
    assert sorted(first) == list(range(len(lengths)))
    assert list(order) == first

    order.set_epoch(1)
    assert sorted(order) == sorted(first)
    assert len(lengths) < 9 or list(order) != first


def test_batches_hold_texts_of_about_the_same_length() -> None:
    lengths = [n * 7919 % 512 + 1 for n in range(2000)]
    order = list(ByLength(lengths, batch=8, seed=0))
    batches = [[lengths[text] for text in order[start : start + 8]] for start in range(0, len(order), 8)]
    padded = sum(8 * max(batch) for batch in batches)
    assert padded < 1.05 * sum(lengths)

    rising = sum(max(one) <= max(two) for one, two in pairwise(batches))
    assert 100 < rising < 150  # of 249 neighbours: batches are not read from long to short


@pytest.mark.parametrize("killed", [3, 5])  # in the first pass over the texts and in the second
def test_a_run_by_length_continues_where_it_was_killed(tmp_path: Path, killed: int) -> None:
    options = {"train_sampling_strategy": "group_by_length", "count": 14}
    whole = run(tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", killed=killed, **options)
    continued = run(tmp_path / "killed", **options)

    assert losses(continued) == losses(whole)
    assert losses(whole) != losses(run(tmp_path / "other", count=14))
