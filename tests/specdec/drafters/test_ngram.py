"""Prompt lookup against the obvious way: try every end of the sequence, the longest first, at every place."""

from fractions import Fraction
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

import specdec.drafters.ngram
from specdec import Decoder, Sampling, Stop, Target, load_policy
from specdec.drafters import Ngram
from specdec.grow import grow
from specdec.policies import Chain, Static
from tests.specdec.contexts import context_of
from tests.specdec.trees import words
from tests.toys import tiny

TEXTS = st.lists(st.integers(0, 3), min_size=1, max_size=24)


def followers(text: list[int], suffix: list[int], longest: int, shortest: int) -> list[int]:
    """What followed the longest end of the suffix that occurs in the text, best first, then lowest first."""
    for length in range(min(longest, len(suffix)), shortest - 1, -1):
        end = suffix[len(suffix) - length :]
        places = [place for place in range(max(length, 1), len(text)) if text[place - length : place] == end]
        if places:
            weights: dict[int, Fraction] = {}
            for place in places:
                weights[text[place]] = weights.get(text[place], 0) + 1 + Fraction(place - 1, 100 * len(text))
            return sorted(weights, key=lambda token: (-weights[token], token))
    return []


@given(TEXTS, st.integers(0, 4), st.data())
def test_a_chain_is_what_followed_the_longest_match(text: list[int], longest: int, data: st.DataObject) -> None:
    """Drafted tokens join the suffix, and are looked up in what was decided."""
    shortest = data.draw(st.integers(0, longest))
    (tree,) = Ngram(longest, shortest).propose(context_of([text]), Chain(4))
    suffix, expected = list(text), [(text[-1],)]
    for _ in range(4):
        found = followers(text, suffix, longest, shortest)
        if not found:
            break
        suffix.append(found[0])
        expected.append((*expected[-1], found[0]))

    assert words(tree) == expected


@given(st.lists(TEXTS, min_size=1, max_size=4), st.integers(1, 3))
def test_several_matches_make_a_tree(texts: list[list[int]], width: int) -> None:
    """Each sequence from itself alone."""
    for text, tree in zip(texts, Ngram().propose(context_of(texts), Static((width,))), strict=True):
        found = followers(text, text, 3, 1)[:width]
        assert words(tree) == sorted([(text[-1],), *((text[-1], token) for token in found)])


def smoothed(text: list[int], end: list[int]) -> dict[int, Fraction]:
    """The probabilities of what followed `end`, smoothed as by Witten and Bell."""
    counts = dict[int, Fraction]()
    for place in range(max(len(end), 1), len(text)):
        if text[place - len(end) : place] == end:
            counts[text[place]] = counts.get(text[place], 0) + 1 + Fraction(place - 1, 100 * len(text))
    total = sum(counts.values())
    if not end:
        return {token: count / total for token, count in counts.items()}
    shorter, kinds = smoothed(text, end[1:]), len(counts)
    return {token: (count + kinds * shorter[token]) / (total + kinds) for token, count in counts.items()}


@given(TEXTS)
def test_it_is_as_sure_of_its_guesses_as_smoothed_counts_are(text: list[int]) -> None:
    """Of all together; their own shares are those of what followed the longest match."""
    (tree,) = Ngram().propose(context_of([text]), Static((9,)))
    found = (smoothed(text, text[-length:]) for length in (3, 2, 1) if length <= len(text))
    expected = next((float(sum(probs.values())) for probs in found if probs), 0.0)

    assert tree is not None
    assert sum(exp(score) for score in tree.scores[1:]) == pytest.approx(expected, abs=1e-5)


def test_a_longer_match_is_surer() -> None:
    """Of the same token that followed once."""
    scores = []
    for text in ([7, 1, 2, 3, 4, 8, 9, 3], [7, 1, 2, 3, 4, 8, 2, 3], [7, 1, 2, 3, 4, 1, 2, 3]):
        (tree,) = Ngram().propose(context_of([text]), Chain(1))
        assert tree is not None
        assert tree.tokens[1] == 4
        scores.append(tree.scores[1])

    assert scores == sorted(scores)
    assert exp(scores[0]) < 0.6 < 0.8 < exp(scores[-1])


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_never_occurred_is_never_drafted(sampled: bool, temperature: float) -> None:
    batch = context_of([[1, 2, 3, 4], [5]], sampling=Sampling(temperature))

    assert [words(tree) for tree in Ngram().propose(batch, Static((2, 2), sampled))] == [[(4,)], [(5,)]]


@given(st.lists(TEXTS, min_size=1, max_size=3), st.sampled_from([0.0, 1.0]))
def test_high_ids_are_drafted_as_low_ones(texts: list[list[int]], temperature: float) -> None:
    """A score for each token that occurs, however large the vocabulary."""
    high = [[150_000 + 500 * token for token in text] for text in texts]
    low_trees, high_trees = (
        Ngram().propose(context_of(some, sampling=Sampling(temperature)), policy)
        for some in (texts, high)
        for policy in [Static((3, 2), sampled=temperature > 0)]
    )
    if temperature == 0:
        for low, tree in zip(low_trees, high_trees, strict=True):
            assert tree.tokens == [150_000 + 500 * token for token in low.tokens]
            assert tree.parents == low.parents
    assert all(set(tree.tokens) <= set(text) for tree, text in zip(high_trees, high, strict=True))


def test_scores_are_as_many_as_the_tokens_that_occur(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one for all others."""
    widths = []
    monkeypatch.setattr(
        specdec.drafters.ngram,
        "grow",
        lambda context, policy, score, vocabulary: grow(
            context, policy, lambda frontier: widths.append(score(frontier).shape[-1]) or score(frontier), vocabulary
        ),
    )
    Ngram().propose(context_of([[150_000, 3, 9, 150_000, 3]]), Chain(4))
    Ngram().propose(context_of([[150_000, 3, 150_000]]), Chain(4))

    assert set(widths) == {4, 3}


def test_a_text_that_repeats_itself_is_drafted_right() -> None:
    decoder = Decoder(Ngram(), Target(tiny("gpt_neox")), Chain(4))
    decoder.generate([45] * 6, Sampling(), Stop(20, tokens=()))

    assert decoder.metrics.summary().acceptance_length > 1.5


def test_the_default_shape_follows_a_text_that_repeats_itself() -> None:
    """And says little of one that does not."""
    loop, others = [*range(10)] * 3, [*range(20), 3, 40, 7, 50]
    (long,) = Ngram().propose(context_of([loop]), load_policy(Ngram.policy))
    (short,) = Ngram().propose(context_of([others]), load_policy(Ngram.policy))

    assert long is not None
    assert long.tokens == [9, *range(8)]
    assert short is not None
    assert len(short) == 1
