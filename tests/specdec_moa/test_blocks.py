"""Training masks against a slow, obvious reference, and against the figure of the paper."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from specdec_moa.blocks import blocks


@st.composite
def batches(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rows, size = draw(st.integers(1, 3)), draw(st.integers(1, 24))
    response = draw(st.lists(st.lists(st.booleans(), min_size=size, max_size=size), min_size=rows, max_size=rows))
    lengths = draw(st.lists(st.integers(0, 9), min_size=rows, max_size=rows))
    stairs = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    return torch.tensor(response), torch.tensor(lengths), torch.tensor(stairs)


@given(batch=batches(), strict=st.booleans())
def test_equal_to_the_obvious(batch: tuple[torch.Tensor, ...], strict: bool) -> None:
    response, lengths, stairs = batch
    masks = blocks(response, lengths, stairs, strict=strict)
    for row in range(len(response)):
        answers, length = response[row].tolist(), int(lengths[row])
        free = [not answer or (length > 0 and at % length == 0) for at, answer in enumerate(answers)]
        assert masks.verified[row].tolist() == free
        for query, answer in enumerate(answers):
            until = query if strict and answer else query + 1
            last = max((at for at in range(until) if free[at]), default=-1 if strict else 0)
            for key in range(len(answers)):
                seen = key <= query and (not stairs[row] or key == query or key > last)
                assert bool(masks.own[row, query, key]) == seen
                assert bool(masks.remembered[row, query, key]) == (key <= last)


@given(batch=batches())
def test_nothing_is_seen_beyond_the_start_of_a_block(batch: tuple[torch.Tensor, ...]) -> None:
    """What is remembered has been verified: it stands before the token, if that is of an answer, and is verified."""
    response, lengths, stairs = batch
    masks = blocks(response, lengths, stairs)
    for row, query in response.nonzero().tolist():
        seen = masks.remembered[row, query].nonzero()[:, 0].tolist()
        assert seen == list(range(len(seen)))
        assert not seen or (seen[-1] < query and bool(masks.verified[row, seen[-1]]))


def test_figure_2_of_the_paper() -> None:
    """Three tokens of prompt; tokens 4 to 7 see these, tokens 8 to 10 the first seven (counted from 1)."""
    response = torch.tensor([[False] * 3 + [True] * 7])
    visible = [1, 2, 3, 3, 3, 3, 3, 7, 7, 7]
    masks = blocks(response, torch.tensor([6]), torch.tensor([False]))
    assert masks.remembered[0].sum(1).tolist() == visible


@pytest.mark.parametrize("strict", [True, False])
def test_whole_answers(strict: bool) -> None:
    response = torch.tensor([[False, False, True, True, True]])
    masks = blocks(response, torch.tensor([0]), torch.tensor([False]), strict=strict)
    assert masks.remembered[0].sum(1).tolist() == [1, 2, 2, 2, 2]
