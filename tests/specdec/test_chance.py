"""Chances by key: known, repeatable, and of the law they should have."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from specdec import Dice, Key, Keyed, Purpose
from specdec.canonical import exponentials
from specdec.chance import Noise
from tests.plain import gumbels, words

KEYS = st.builds(
    Key, st.integers(0, 2**64 - 1), st.integers(0, 10**6), st.sampled_from(list(Purpose)), st.integers(0, 10**4)
)


@given(KEYS, st.integers(1, 300))
def test_noise_is_that_of_numpys_philox_as_documented(key: Key, size: int) -> None:
    exact = gumbels(key.seed, key.position, size, node=key.node, purpose=int(key.purpose))

    np.testing.assert_allclose(Keyed().noise(key, size), exact, rtol=3e-7, atol=1e-6)


def test_noise_is_what_it_was() -> None:
    """Known answers: a change here changes every sampled text of every user."""
    noise = Keyed().noise(Key(1, 2, Purpose.TARGET), 4)
    far = Keyed().noise(Key(2**64 - 1, 2**20, Purpose.DRAFT, 3), 3)
    weights = np.arange(1, 51, dtype=np.float32)
    picks = [Keyed().pick(weights, Key(5, position, Purpose.TARGET)) for position in range(8)]

    assert noise.view(np.uint32).tolist() == [0xBE55AEAF, 0x3F7E7AB1, 0x3FFAEC37, 0x3F51466F]
    assert far.view(np.uint32).tolist() == [0xBF168AE0, 0x3F7A57F0, 0xBF09E155]
    assert picks == [43, 21, 37, 14, 35, 19, 40, 47]


@given(KEYS, st.integers(1, 200), st.integers(0, 100))
def test_more_noise_begins_with_less(key: Key, size: int, more: int) -> None:
    """A drafter that knows fewer tokens than the target shares its noise for those."""
    np.testing.assert_array_equal(Keyed().noise(key, size + more)[:size], Keyed().noise(key, size))


@given(KEYS, KEYS)
def test_other_keys_have_other_noise(one: Key, other: Key) -> None:
    same = np.array_equal(Keyed().noise(one, 8), Keyed().noise(other, 8))

    assert same == (one == other)


@given(KEYS, st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30), st.integers(0, 35))
def test_draws_differ_have_weight_and_are_as_many_as_there_can_be(key: Key, weights: list[float], count: int) -> None:
    given_weights = np.array(weights, dtype=np.float32)
    drawn = Keyed().draw(given_weights, count, key)

    assert len(set(drawn)) == len(drawn) == min(count, int((given_weights > 0).sum()))
    assert all(given_weights[index] > 0 for index in drawn)


@given(KEYS, st.lists(st.floats(0.0625, 1, width=32), min_size=2, max_size=30))
def test_draws_in_turn_begin_alike(key: Key, weights: list[float]) -> None:
    """The first of many is the one that is drawn alone: the winner of the race, then the second, and so on."""
    given_weights = np.array(weights, dtype=np.float32)
    raced = words(key.seed, key.position, len(weights), node=key.node, purpose=int(key.purpose))
    pace = given_weights / exponentials(raced)
    all_of_them = Keyed().draw(given_weights, len(weights), key)

    assert Keyed().pick(given_weights, key) == all_of_them[0]
    assert all(pace[a] >= pace[b] for a, b in pairwise(all_of_them))


@given(KEYS, st.lists(st.just(0.0) | st.floats(2.0**-60, 1, width=32), min_size=2, max_size=30).filter(any))
def test_a_race_of_weights_is_won_by_the_highest_noisy_score(key: Key, weights: list[float]) -> None:
    """Up to rounding: where another wins, its noisy score is as high in single precision."""
    given_weights = np.array(weights, dtype=np.float32)
    with np.errstate(divide="ignore"):
        noisy = np.log(given_weights) + Keyed().noise(key, len(weights))

    assert noisy.max() - noisy[Keyed().pick(given_weights, key)] <= 4 * np.spacing(np.float32(100))


@given(KEYS, st.integers(0, 9), st.sampled_from([np.float32, np.float64]))
def test_what_is_certain_is_drawn(key: Key, index: int, dtype: Any) -> None:
    certain = np.zeros(10, dtype=dtype)
    certain[index] = 1

    assert Keyed().draw(certain, 3, key) == [index]


@given(KEYS)
def test_weights_too_small_to_race_still_win_over_none(key: Key) -> None:
    tiny = np.array([0, 1e-45, 0, 1e-45], dtype=np.float32)

    assert sorted(Keyed().draw(tiny, 4, key)) == [1, 3]


@given(KEYS, st.floats(1e-6, 1.0))
def test_coins_at_their_bounds(key: Key, of: float) -> None:
    """Zero never comes up true, and what is at least the whole always does."""
    assert not Keyed().coin(0.0, of, key)
    assert Keyed().coin(of, of, key)
    assert Keyed().coin(2 * of, of, key)
    assert Keyed().coin(of, 0.0, key)
    assert not Keyed().coin(0.0, 0.0, key)


def _shares(weights: Any) -> Any:
    return weights.astype(np.float64) / weights.astype(np.float64).sum()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_draws_have_the_law_of_the_weights(dtype: Any) -> None:
    weights = np.array([0.5, 0.0, 0.25, 0.15, 0.07, 0.03], dtype=dtype)
    counts = np.bincount(
        [Keyed().pick(weights, Key(9, position, Purpose.TARGET)) for position in range(8000)], minlength=6
    )

    assert counts[1] == 0
    assert chisquare(counts[weights > 0], _shares(weights[weights > 0]) * 8000).pvalue > 1e-3


def test_pairs_have_the_law_of_drawing_without_replacement() -> None:
    weights = np.array([0.5, 0.3, 0.2], dtype=np.float32)
    pairs = [tuple(Keyed().draw(weights, 2, Key(3, 0, Purpose.DRAFT, node))) for node in range(8000)]
    law = {(a, b): weights[a] * weights[b] / (1 - weights[a]) for a in range(3) for b in range(3) if a != b}
    expected = np.array([8000 * float(law[pair]) for pair in law])

    assert chisquare([pairs.count(pair) for pair in law], expected * 8000 / expected.sum()).pvalue > 1e-3


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_coins_have_their_law(share: float) -> None:
    heads = sum(Keyed().coin(share, 1, Key(seed, 5, Purpose.ACCEPT, 1)) for seed in range(8000))

    assert chisquare([heads, 8000 - heads], [8000 * share, 8000 * (1 - share)]).pvalue > 1e-3


def test_chances_of_a_step_and_the_next_are_independent() -> None:
    """Neighbouring positions, seeds and purposes: the picks of two, counted together, are uniform."""
    even = np.ones(4, dtype=np.float32)
    for step in (
        Key(1, 0, Purpose.TARGET),
        Key(0, 1, Purpose.TARGET),
        Key(0, 0, Purpose.DRAFT),
        Key(0, 0, Purpose(0), 1),
    ):
        counts = np.zeros((4, 4))
        for position in range(3000):
            one = Key(7, position, Purpose.TARGET)
            other = Key(7 + step.seed, position + step.position, step.purpose, step.node)
            counts[Keyed().pick(even, one), Keyed().pick(even, other)] += 1

        assert chisquare(counts.ravel()).pvalue > 1e-3


def test_dice_name_their_chances_as_documented() -> None:
    """Target chances by the position they decide, all others by the root and a node."""
    dice, chance, weights = Dice(Keyed(), 5, 10), Keyed(), np.arange(1, 9, dtype=np.float32)

    assert dice.target(weights, 2) == chance.pick(weights, Key(5, 13, Purpose.TARGET))
    assert dice.draft(weights, 3, 4) == chance.draw(weights, 3, Key(5, 10, Purpose.DRAFT, 4))
    assert dice.residual(weights, 4) == chance.pick(weights, Key(5, 10, Purpose.RESIDUAL, 4))
    assert dice.accept(0.5, 1, 4) == chance.coin(0.5, 1, Key(5, 10, Purpose.ACCEPT, 4))
    np.testing.assert_array_equal(dice.noise(2, 8), chance.noise(Key(5, 13, Purpose.TARGET), 8))


class Counted(Keyed):
    """Counts how often noise is made."""

    def __init__(self) -> None:
        self.made: list[tuple[Key, int]] = []

    def noise(self, key: Key, size: int) -> Any:
        self.made.append((key, size))
        return super().noise(key, size)


def test_noise_ahead_is_made_once_and_forgotten_when_it_is_passed() -> None:
    chance = Counted()
    noise = Noise(chance, 5)
    for root in (10, 10, 11):
        dice = noise.dice(root)
        for depth in (1, 0, 1):
            expected = Keyed().noise(Key(5, root + depth + 1, Purpose.TARGET), 8)
            np.testing.assert_array_equal(dice.noise(depth, 8), expected)

    assert [key.position for key, _ in chance.made] == [12, 11, 13]
    noise.dice(12)
    assert noise.at(12, 8) is not None
    assert [key.position for key, _ in chance.made] == [12, 11, 13, 12]


def test_noise_that_is_shared_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Noise(Keyed(), 0).at(1, 4)[0] = 1  # type: ignore[index]


def test_sizes_have_noise_of_their_own() -> None:
    """A chance of another kind need not give to many what it gives to few."""
    noise = Noise(Keyed(), 3)

    assert [len(noise.at(4, size)) for size in (8, 3, 8, 12)] == [8, 3, 8, 12]  # type: ignore[arg-type]


def test_without_noise_to_share_there_is_none() -> None:
    class Secret(Keyed):
        def noise(self, key: Key, size: int) -> None:  # type: ignore[override]
            return None

    assert Noise(Secret(), 0).dice(0).noise(0, 4) is None
    assert Dice(Secret(), 0, 0).noise(0, 4) is None
