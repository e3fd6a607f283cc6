"""Top-k, top-p and min-p keep what `specdec.sampling.scores` keeps.

That adds up floats, so what is as near to a border as those round may be on either side: here nothing is.
"""

import math

import numpy as np
import pytest
import torch
from batches import INTS, Batch
from hypothesis import given, settings
from hypothesis import strategies as st
from specdec_cuda.kernels.kth import kth
from torch import Tensor

from specdec import Key, Keyed, Purpose, Sampling
from specdec.errors import NonFiniteLogits

OPTIONS = [
    {"top_k": 5},
    {"top_k": 1},
    {"top_k": 10_000},
    {"top_p": 0.7},
    {"top_p": 1e-6},
    {"top_p": 0.999},
    {"min_p": 0.1},
    {"min_p": 1.0},
    {"top_k": 8, "top_p": 0.6},
    {"top_k": 2, "top_p": 0.3},
    {"top_p": 0.9, "min_p": 0.3},
    {"top_k": 20, "top_p": 0.9, "min_p": 0.02},
]


def check(batch: Batch, **options: int) -> int:
    """Compare, and count the winners that were not kept."""
    for tree, logits, prefix in zip(batch.trees, batch.logits, batch.prefixes, strict=True):
        for row in logits[: len(tree)]:
            assert distance(row, prefix.sampling) > 1e-6
    winners = batch.race(**options)
    first = winners.amax(-1)
    batch.settle(winners, **options)
    endings = zip(batch.walk(winners), batch.trees, strict=True)
    walks = [ending.walk(tree) or NonFiniteLogits for ending, tree in endings]
    assert walks == batch.expected()
    return int((winners.amax(-1) != first).sum())


def distance(logits: Tensor, sampling: Sampling) -> float:
    """How far any sum of the sorted probabilities is from `top_p`, and any ratio from `min_p`."""
    row = logits.double().sort(descending=True, stable=True).values
    row = row[row >= row[min(sampling.top_k or len(row), len(row)) - 1]] / sampling.temperature
    probs = row.softmax(-1)
    sums, ratios = probs.cumsum(-1), probs / probs[0]
    borders = [sums - sampling.top_p] if sampling.top_p else []
    borders += [ratios[1:] - sampling.min_p] if sampling.min_p not in (None, 1.0) else []
    return min((float(one.abs().min()) for one in borders if len(one)), default=math.inf)


def test_the_race_is_among_the_tokens_that_are_kept() -> None:
    """Half precision has many equal scores, of which top-k keeps all and top-p the first."""
    logits = torch.from_numpy(np.random.default_rng(7).normal(0, 1.5, (len(OPTIONS), 1, 500))).bfloat16()
    samplings = [Sampling(0.7 + 0.1 * row, seed=row, **options) for row, options in enumerate(OPTIONS)]
    batch = Batch.of(logits, samplings, [1] * len(samplings))

    assert check(batch, block=512) > 5


def test_trees_with_and_without_such_options() -> None:
    logits = torch.from_numpy(np.random.default_rng(8).normal(0, 2, (3, 3, 900))).float()
    logits[:, 1] = logits[:, 1].round()
    logits[:, 2, 10:] = -math.inf
    samplings = [Sampling(1.2, top_k=8, top_p=0.6), Sampling(0.9, seed=1), Sampling(0.0, top_k=2)]
    batch = Batch.of(logits, samplings, [3, 2, 1])

    assert check(batch, block=512) > 0


def test_padding_is_left_alone() -> None:
    batch = Batch.of(torch.arange(20.0).expand(2, 2, -1).clone(), [Sampling(1.0, top_k=1)] * 2, [2, 1])
    winners = batch.race()
    winners[1, 1] = key = 0x7FFFFFFF - 3  # of token 3, which would not be kept

    batch.settle(winners)

    assert winners[1, 1].item() == key


def test_what_is_kept_does_not_depend_on_how_it_is_added_up() -> None:
    """Of a thousand tokens as likely as each other half are as many as top-p can keep."""
    samplings = [Sampling(1.0, top_p=0.5, seed=seed) for seed in range(3)]
    batch = Batch.of(torch.zeros(3, 1, 1000), samplings, [1, 1, 1])
    settled = [batch.race(block=1024) for _ in range(2)]
    for winners, block in zip(settled, (1024, 256), strict=True):
        batch.settle(winners, block=block)

    assert torch.equal(*settled)
    assert all(ending.bonus < 500 for ending in batch.walk(settled[0]))


def test_equal_quotients_are_equal_where_their_logits_are_not() -> None:
    """Top-k keeps as many as it does after the division."""
    temperature = 1.2
    near = 1.5 + torch.arange(20) * 2**-23
    same = int(((near / temperature).diff() == 0).nonzero()[0])
    logits = torch.full((1, 1, 64), -5.0)
    logits[0, 0, :3] = torch.stack([near[same], torch.tensor(3.0), near[same + 1]])
    seed = next(seed for seed in range(99) if Keyed().noise(Key(seed, 1, Purpose.TARGET), 3).argmax() == 0)

    check(Batch.of(logits, [Sampling(temperature, top_k=2, seed=seed)], [1]), block=64)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite(bad: float) -> None:
    logits = torch.zeros(1, 1, 20)
    logits[0, 0, 3 if bad != -math.inf else slice(None)] = bad

    check(Batch.of(logits, [Sampling(1.0, top_k=3)], [1]))


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered")
def test_a_temperature_that_makes_numbers_infinite() -> None:
    logits = torch.arange(20.0).view(1, 1, 20)

    assert Batch.of(logits, [Sampling(1e-38, top_k=3)], [1]).expected() == [NonFiniteLogits]
    check(Batch.of(logits, [Sampling(1e-38, top_k=3)], [1]))


@given(data=st.data())
@settings(max_examples=15)
def test_the_kth_largest(data: st.DataObject) -> None:
    number = st.sampled_from([0.0, -0.0, 1.0, -1.0, 3e38, -3e38, 1e-45, -math.inf, math.inf]) | st.floats(width=32)
    numbers = data.draw(st.lists(number.filter(lambda one: one == one), min_size=1, max_size=20))
    k = data.draw(st.integers(1, len(numbers)))
    row = torch.tensor([numbers])

    assert kth(row, torch.tensor([k], dtype=INTS)).item() == row.topk(k).values[0, -1].item()


def test_the_kth_largest_of_many() -> None:
    numbers = torch.from_numpy(np.random.default_rng(9).normal(0, 2, (4, 5000))).bfloat16()
    k = torch.tensor([1, 40, 5000, 2500], dtype=INTS)

    expected = [row.topk(int(count)).values[-1].item() for row, count in zip(numbers.float(), k, strict=True)]
    assert kth(numbers, k).tolist() == expected
