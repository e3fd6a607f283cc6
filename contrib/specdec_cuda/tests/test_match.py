"""Race and walk decide what `Match` decides: the same path, the same tokens, the same failures."""

import math

import numpy as np
import pytest
import torch
from batches import Batch
from hypothesis import given, settings
from hypothesis import strategies as st

from specdec import Key, Keyed, Purpose, Sampling
from specdec.errors import NonFiniteLogits


def check(batch: Batch, **options: int) -> int:
    """Compare, and count the nodes that were accepted."""
    endings = batch.walk(batch.race(**options))
    for ending, expected, tree in zip(endings, batch.expected(), batch.trees, strict=True):
        if expected is NonFiniteLogits:
            assert ending.failed
        else:
            assert ending.walk(tree) == expected
    return sum(len(tree.path(ending.node)) for ending, tree in zip(endings, batch.trees, strict=True))


def drawn_logits(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 1, shape)).float()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_sampled_trees(dtype: torch.dtype) -> None:
    """Rows of other temperatures side by side, one of them greedy, in two heats; half precision is full of ties."""
    samplings = [Sampling(temperature, seed=2**64 - 1 - row) for row, temperature in enumerate((0.0, 0.3, 1.0, 2.0))]
    batch = Batch.of(drawn_logits(1, 4, 9, 1500).to(dtype), samplings, [4, 5, 9, 1])

    assert check(batch, block=1024) > 3


def test_a_large_tree() -> None:
    batch = Batch.of(drawn_logits(2, 1, 64, 700), [Sampling(0.8, seed=5)], [64])

    assert check(batch) > 1


def test_a_large_vocabulary() -> None:
    batch = Batch.of(drawn_logits(3, 1, 2, 32_000).bfloat16(), [Sampling(1.0, seed=7)], [2])

    check(batch, block=16384)


@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4), ties=st.booleans())
@settings(max_examples=15)
def test_greedy_trees(seed: int, sizes: list[int], ties: bool) -> None:
    logits = drawn_logits(seed, len(sizes), max(sizes), 90)
    batch = Batch.of(logits.round() if ties else logits, [Sampling()] * len(sizes), sizes, seed)

    check(batch, block=64)


@given(
    rows=st.lists(
        st.lists(st.sampled_from([math.nan, -math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0]), min_size=5, max_size=5),
        min_size=3,
        max_size=3,
    )
)
@settings(max_examples=30)
def test_numbers_that_are_not_finite(rows: list[list[float]]) -> None:
    """Whoever comes to a node without a usable choice fails; elsewhere such a node does no harm."""
    logits = torch.tensor([rows])

    check(Batch.of(logits, [Sampling()], [3]), block=8)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_number_that_is_not_finite_when_sampling(bad: float) -> None:
    logits = drawn_logits(4, 1, 3, 40)
    logits[0, 0, 7] = bad

    assert Batch.of(logits, [Sampling(1.0)], [3]).expected() == [NonFiniteLogits]
    check(Batch.of(logits, [Sampling(1.0)], [3]))


def test_the_lowest_of_equal_scores_wins_across_heats() -> None:
    logits = torch.zeros(1, 1, 300)
    logits[0, 0, [17, 200, 299]] = 2

    check(Batch.of(logits, [Sampling()], [1]), block=64)


def test_zeros_of_either_sign_are_equal() -> None:
    """As noise is, at the lowest of temperatures."""
    noise = (Keyed().noise(Key(seed, 1, Purpose.TARGET), 2).tolist() for seed in range(99))
    seed = next(seed for seed, (first, other) in enumerate(noise) if -0.5 < first < 0 and abs(other) < 0.5)
    batch = Batch.of(torch.tensor([[[-0.0, 0.0]]]), [Sampling(1e-45, seed=seed)], [1])

    assert batch.walk(batch.race())[0].bonus == 0
    check(batch)


def test_rows_without_a_root_decide_nothing() -> None:
    batch = Batch.of(drawn_logits(5, 2, 3, 40), [Sampling()] * 2, [3, 3])
    winners, tokens = batch.race(), batch.tokens
    tokens[0] = -1

    assert batch.walk(winners, tokens)[0] == (-1, -1, 0)
