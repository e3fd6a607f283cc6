"""The law at a node is that of plain decoding at its prefix."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import LogitsProcessorList

from specdec import Sampling
from specdec.errors import NonFiniteLogits
from specdec.sampling import RowLaw, law
from tests.specdec.grid import RESTLESS, SAMPLINGS
from tests.specdec.trees import tree_of
from tests.toys import RAGGED, VOCAB, tiny

WARM = [name for name, sampling in SAMPLINGS.items() if sampling.temperature > 0]


@pytest.mark.parametrize("name", WARM)
def test_the_law_is_that_from_which_generate_samples(name: str) -> None:
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
    for step, (logits, scores) in enumerate(zip(said.logits, said.scores, strict=True)):
        history = said.sequences[:, : len(prompt) + step]

        np.testing.assert_allclose(
            law(sampling, history[0], logits[0].double()), scores[0].double().softmax(-1).numpy(), rtol=1e-5, atol=1e-9
        )


@pytest.mark.parametrize("name", SAMPLINGS)
def test_each_node_is_given_its_own_history(name: str) -> None:
    """The row's tokens, then those on the way to the node, and none of its siblings'."""
    nodes = [(4, -1), (5, 0), (6, 0), (7, 1), (7, 2), (8, 4)]
    tree = tree_of([[(1, -1)], nodes])
    logits = torch.randn(len(nodes), VOCAB, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    prefix = torch.tensor([3, 9, 4])
    row_law = RowLaw(SAMPLINGS[name], prefix, tree, 1, logits)
    histories = [[3, 9, 4], [3, 9, 4, 5], [3, 9, 4, 6], [3, 9, 4, 5, 7], [3, 9, 4, 6, 7], [3, 9, 4, 6, 7, 8]]

    for node, history in enumerate(histories):
        expected = law(SAMPLINGS[name], torch.tensor(history), logits[node])
        np.testing.assert_array_equal(row_law(node), expected)


def test_the_logits_themselves_are_left_alone() -> None:
    logits = torch.randn(VOCAB)
    before = logits.clone()
    law(SAMPLINGS["all at once"], torch.tensor([1, 2]), logits)

    assert torch.equal(logits, before)


def test_greedy_is_certain_and_ties_go_to_the_lowest_id() -> None:
    logits = torch.zeros(6)
    logits[[2, 4]] = 3.0
    certain = law(Sampling(), torch.tensor([0]), logits)

    assert certain.tolist() == [0, 0, 1, 0, 0, 0]


def test_a_law_sums_to_one_and_holds_nothing_that_was_cut_off() -> None:
    logits = torch.arange(6.0)
    kept = law(Sampling(1.0, top_k=2), torch.tensor([0]), logits)

    assert kept.sum() == pytest.approx(1)
    assert (kept > 0).tolist() == [False] * 4 + [True] * 2


def test_bfloat16_logits_are_made_precise_first() -> None:
    logits = torch.randn(VOCAB).bfloat16()

    assert law(Sampling(0.7), torch.tensor([0]), logits).dtype == np.float32
    np.testing.assert_array_equal(
        law(Sampling(0.7), torch.tensor([0]), logits), law(Sampling(0.7), torch.tensor([0]), logits.float())
    )


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_is_named_with_its_position(bad: float) -> None:
    logits = torch.zeros(5)
    logits[3] = bad

    with pytest.raises(NonFiniteLogits, match="model's logits at position 4 "):
        law(Sampling(), torch.tensor([0, 1, 2, 3]), logits)
    with pytest.raises(NonFiniteLogits, match="-inf"):
        law(Sampling(), torch.tensor([0]), torch.full((5,), -torch.inf))


def test_a_processor_that_leaves_nothing_is_told_from_a_model_that_does() -> None:
    def nothing(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return torch.full_like(scores, -torch.inf)

    with pytest.raises(NonFiniteLogits, match="processed logits at position 1 "):
        law(Sampling(processors=(nothing, RESTLESS)), torch.tensor([0]), torch.zeros(VOCAB))  # type: ignore[arg-type]
