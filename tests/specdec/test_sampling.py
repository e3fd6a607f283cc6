"""Scores and probabilities at a node are those of plain decoding at its prefix."""

import weakref
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import chisquare
from transformers import LogitsProcessor, LogitsProcessorList, TopPLogitsWarper

from specdec import Dice, Key, Keyed, Purpose, Sampling, Tree
from specdec.chance import Noise
from specdec.errors import NonFiniteLogits
from specdec.prefix import Prefix
from specdec.sampling import StableTopP, plain, probs, require_finite, scores, uses_history
from tests.specdec.grid import RESTLESS, SAMPLINGS
from tests.toys import RAGGED, VOCAB, tiny

WARM = [name for name, sampling in SAMPLINGS.items() if sampling.temperature > 0]


@pytest.mark.parametrize("name", WARM)
def test_scores_and_probabilities_are_those_from_which_generate_samples(name: str) -> None:
    """Every option at once, in transformers' own order: its processed scores at each step of its own text."""
    sampling, prompt = SAMPLINGS[name], RAGGED[0]
    ids = torch.tensor([prompt])
    said: Any = tiny().generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        max_new_tokens=8,
        temperature=float(sampling.temperature),
        top_k=sampling.top_k or 0,
        top_p=sampling.top_p or 1.0,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty,
        logits_processor=LogitsProcessorList(sampling.processors),
        output_scores=True,
        output_logits=True,
        return_dict_in_generate=True,
    )
    for step, (logits, expected) in enumerate(zip(said.logits, said.scores, strict=True)):
        history = said.sequences[0, : len(prompt) + step].tolist()
        found = scores(sampling, history, logits[0])
        exact = expected[0].double().softmax(-1).numpy()

        assert torch.equal(found / sampling.temperature, expected[0])
        np.testing.assert_allclose(probs(sampling, history, logits[0]), exact, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", SAMPLINGS)
def test_each_node_is_given_its_own_history(name: str) -> None:
    """The sequence's tokens, then those on the way to the node, and none of its siblings'."""
    tree = Tree.of([4, 5, 6, 7, 7, 8], [-1, 0, 0, 1, 2, 4])
    logits = torch.randn(6, VOCAB, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    prefix = Prefix([3, 9, 4], SAMPLINGS[name], Noise(Keyed(), 0))
    histories = [[3, 9, 4], [3, 9, 4, 5], [3, 9, 4, 6], [3, 9, 4, 5, 7], [3, 9, 4, 6, 7], [3, 9, 4, 6, 7, 8]]

    for node, history in enumerate(histories):
        assert prefix.history(tree, node) == history
        np.testing.assert_array_equal(prefix.probs(tree, logits)(node), probs(SAMPLINGS[name], history, logits[node]))


def test_the_dice_of_a_prefix_are_those_of_its_last_token() -> None:
    chance = Keyed()

    assert Prefix([3, 9, 4], Sampling(1.0, seed=6), Noise(chance, 6)).dice == Dice(chance, 6, 2)


@pytest.mark.parametrize("name", SAMPLINGS)
def test_nodes_of_one_history_are_processed_together_as_alone(name: str) -> None:
    logits = torch.randn(5, VOCAB, generator=torch.Generator().manual_seed(1))
    together = scores(SAMPLINGS[name], [3, 9, 4], logits)

    assert torch.equal(together, torch.stack([scores(SAMPLINGS[name], [3, 9, 4], row) for row in logits]))
    if not uses_history(SAMPLINGS[name]):
        assert torch.equal(together, scores(SAMPLINGS[name], None, logits))
    if plain(SAMPLINGS[name]):
        assert torch.equal(together, logits)


def test_what_is_plain_and_what_uses_its_history() -> None:
    names = "greedy", "warm"
    assert [name for name, sampling in SAMPLINGS.items() if plain(sampling)] == [*names]
    assert plain(Sampling(0.5, top_p=1.0))
    assert plain(Sampling(top_k=1, top_p=0.5, min_p=0.5))  # greedy anyway
    assert not uses_history(SAMPLINGS["hot, min-p"])
    assert uses_history(Sampling(repetition_penalty=1.1))
    assert uses_history(Sampling(processors=(RESTLESS,)))


@pytest.mark.parametrize("name", ["cool, top-p", "warm, top-k", "hot, min-p", "all at once"])
def test_the_highest_noisy_score_has_the_law_of_the_probabilities(name: str) -> None:
    sampling, history = SAMPLINGS[name], [3, 9, 4]
    row = 3 * torch.randn(VOCAB, generator=torch.Generator().manual_seed(2))
    noise = np.stack([Keyed().noise(Key(7, position, Purpose.TARGET), VOCAB) for position in range(8000)])
    chosen = (scores(sampling, history, row) + sampling.temperature * torch.from_numpy(noise)).argmax(-1)
    expected = probs(sampling, history, row).astype(np.float64)
    counts = np.bincount(chosen.numpy(), minlength=VOCAB)

    assert (counts[expected == 0] == 0).all()
    often = expected * 8000 > 5
    observed = np.append(counts[often], counts[~often].sum())
    wanted = np.append(expected[often], expected[~often].sum()) * 8000
    assert chisquare(observed[wanted > 0], wanted[wanted > 0] * 8000 / wanted.sum()).pvalue > 1e-3


def test_the_logits_themselves_are_left_alone() -> None:
    logits = torch.randn(VOCAB)
    before = logits.clone()
    probs(SAMPLINGS["all at once"], [1, 2], logits)

    assert torch.equal(logits, before)


def test_greedy_is_certain_and_ties_go_to_the_lowest_id() -> None:
    logits = torch.zeros(6)
    logits[[2, 4]] = 3.0
    certain = probs(Sampling(), [0], logits)

    assert certain.tolist() == [0, 0, 1, 0, 0, 0]


def test_a_law_sums_to_one_and_holds_nothing_that_was_cut_off() -> None:
    logits = torch.arange(6.0)
    kept = probs(Sampling(1.0, top_k=2), [0], logits)

    assert kept.sum() == pytest.approx(1)
    assert (kept > 0).tolist() == [False] * 4 + [True] * 2


@pytest.mark.parametrize("size", [6, 257, 32768])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_largest_of_many_equal_scores_is_the_first(size: int, dtype: torch.dtype) -> None:
    """What torch promises of argmax, for rows in memory and in part of it."""
    ties = torch.randint(0, 3, (9, size), generator=torch.Generator().manual_seed(0)).to(dtype)
    for rows in (ties, ties.repeat(1, 2)[:, :size], ties.T.contiguous().T):
        assert rows.argmax(-1).tolist() == [row.index(max(row)) for row in rows.tolist()]


def test_bfloat16_logits_are_made_precise_first() -> None:
    logits = torch.randn(VOCAB).bfloat16()

    assert probs(Sampling(0.7), [0], logits).dtype == np.float32
    np.testing.assert_array_equal(probs(Sampling(0.7), [0], logits), probs(Sampling(0.7), [0], logits.float()))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_is_named_with_its_position(bad: float) -> None:
    logits = torch.zeros(5)
    logits[3] = bad

    with pytest.raises(NonFiniteLogits, match="model's logits at position 4 "):
        probs(Sampling(), [0, 1, 2, 3], logits)
    with pytest.raises(NonFiniteLogits, match="-inf"):
        probs(Sampling(), [0], torch.full((5,), -torch.inf))


class Returns(LogitsProcessor):
    """Gives the same scores whatever it is given; equal to all others, and not to be hashed."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, *scores: float) -> None:
        self.scores = torch.tensor(scores)

    def __eq__(self, other: object) -> bool:
        return True

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return self.scores.expand_as(scores)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_processor_that_leaves_nothing_is_told_from_a_model_that_does(bad: float) -> None:
    with pytest.raises(NonFiniteLogits, match="processed logits at position 1 "):
        probs(Sampling(processors=(Returns(bad, -np.inf),)), [0], torch.zeros(2))
    with pytest.raises(NonFiniteLogits, match="model's logits at position 1 "):
        probs(Sampling(processors=(Returns(1.0, 2.0),)), [0], torch.tensor([bad, -np.inf]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", SAMPLINGS)
def test_the_highest_noisy_score_of_a_bad_row_is_not_finite_and_of_others_is(name: str, bad: float) -> None:
    """One check of the chosen token's score is enough, and rows that nobody asks about raise nothing."""
    logits = torch.randn(3, VOCAB, generator=torch.Generator().manual_seed(3))
    logits[1] = -torch.inf
    logits[1, 5] = bad
    noisy = scores(SAMPLINGS[name], [3], logits)
    noisy = noisy + SAMPLINGS[name].temperature * torch.tensor(Keyed().noise(Key(0, 1, Purpose.TARGET), VOCAB))
    chosen = noisy.argmax(-1, keepdim=True)
    peaks = noisy.gather(-1, chosen)[:, 0].tolist()

    assert np.isfinite(peaks).tolist() == [True, False, True]
    with pytest.raises(NonFiniteLogits, match="model's logits at position 1 "):
        require_finite(peaks[1], logits[1], 1)
    require_finite(peaks[0], logits[0], 1)


def test_a_temperature_too_low_to_divide_by_is_refused_and_not_cut_wrongly() -> None:
    with pytest.raises(NonFiniteLogits, match="processed logits at position 1 "):
        probs(Sampling(1e-38, top_p=0.5), [0], torch.tensor([50.0, 40.0, 1.0]))
    assert not scores(Sampling(1e-38, top_p=0.5), [0], torch.tensor([50.0, 40.0, 1.0]))[0].isfinite()


def test_processors_that_are_equal_are_not_mistaken_for_one_another_nor_kept() -> None:
    one, other = Returns(1.0, 0.0), Returns(0.0, 1.0)
    first = probs(Sampling(processors=(one,)), [0], torch.zeros(2))
    second = probs(Sampling(processors=(other,)), [0], torch.zeros(2))
    gone = weakref.ref(one)
    del one

    assert (first.tolist(), second.tolist()) == ([1, 0], [0, 1])
    assert gone() is None


def rounded(size: int, seed: int) -> torch.Tensor:
    """Scores with many ties."""
    return (4 * torch.randn(1, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))).round() / 2


@given(st.integers(2, 300), st.integers(0, 10**6), st.floats(0.05, 0.95))
def test_top_p_keeps_the_lowest_ids_of_equal_scores(size: int, seed: int, top_p: float) -> None:
    """The likeliest tokens until they have the mass, in the order of their scores and then of their ids."""
    row = rounded(size, seed)
    weights = row[0].softmax(-1).tolist()
    kept, mass = set[int](), 0.0
    for token in sorted(range(size), key=lambda token: (-row[0, token].item(), token)):
        assume(abs(mass - top_p) > 1e-9)
        if mass < top_p:
            kept.add(token)
        mass += weights[token]

    assert set(StableTopP(top_p)(None, row)[0].isfinite().nonzero()[:, 0].tolist()) == kept


@given(st.integers(1, 300), st.integers(0, 10**6), st.floats(0.01, 0.99))
def test_top_p_is_that_of_transformers_where_no_scores_are_equal(size: int, seed: int, top_p: float) -> None:
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    row = 5 * order[None].float() / size

    assert torch.equal(StableTopP(top_p)(None, row), TopPLogitsWarper(top_p)(None, row))


def test_top_p_of_transformers_cuts_equal_scores_in_no_order() -> None:
    """Neither the lowest ids stay nor the highest: the reason for one of our own."""
    row = rounded(1000, 0)
    kept = StableTopP(0.9)(None, row)
    ties = row[0] == kept[kept.isfinite()].min()
    theirs = TopPLogitsWarper(0.9)(None, row)[0, ties].isfinite().tolist()

    assert theirs not in (sorted(theirs), sorted(theirs, reverse=True))
