"""Losses against their formulas, and their gradients against autograd's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from specdec.heads import feature_loss, soft_cross_entropies, soft_cross_entropy


def plain(
    states: Tensor, truth: Tensor, weights: Tensor, head: nn.Module, target_head: nn.Module, tokens: Tensor
) -> Tensor:
    target = target_head(truth)
    p, known = target[:, tokens].softmax(-1), torch.isin(target.argmax(-1), tokens)
    return -(weights * known * (p * head(states).log_softmax(-1)).sum(-1)).sum(-1)


@given(
    steps=st.integers(1, 3),
    count=st.integers(0, 9),
    chosen=st.sets(st.integers(0, 10), min_size=1),
    trained=st.booleans(),
    bias=st.booleans(),
    seed=st.integers(0, 99),
)
def test_equal_to_the_formula(steps: int, count: int, chosen: set[int], trained: bool, bias: bool, seed: int) -> None:
    """Also of tokens that do not count, and of a head that is trained itself."""
    torch.manual_seed(seed)
    target_head = nn.Linear(5, 11, bias=False).double().requires_grad_(False)
    tokens, truth = torch.tensor(sorted(chosen)), torch.randn(count, 5).double()
    weights = torch.randn(steps, count).double().abs() * (torch.rand(count) < 0.7)
    states = torch.randn(steps, count, 4).double().requires_grad_()
    head = nn.Linear(4, len(tokens), bias=bias).double().requires_grad_(trained)
    leaves = [states, *(head.parameters() if trained else ())]
    total, each = soft_cross_entropies(states, truth, weights, head, target_head, tokens, chunk=4)
    expected = plain(states, truth, weights, head, target_head, tokens)
    torch.testing.assert_close(each, expected.detach())
    torch.testing.assert_close(total, expected.sum())
    gradients = torch.autograd.grad(3 * total, leaves)
    torch.testing.assert_close(gradients, torch.autograd.grad(3 * expected.sum(), leaves))


def test_one_prediction_under_the_targets_own_head() -> None:
    torch.manual_seed(0)
    head = nn.Linear(6, 11).requires_grad_(False)
    states, truth = torch.randn(10, 6, requires_grad=True), torch.randn(10, 6)
    weights = torch.tensor([0.0, 1, 2, 0, 1, 1, 0.5, 0, 3, 1])
    expected = plain(states, truth, weights, head, head, torch.arange(11))
    found = soft_cross_entropy(states, truth, weights, head)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, states), torch.autograd.grad(expected, states))


def test_scores_may_be_large() -> None:
    """So large that all but one of the probabilities are zero."""
    torch.manual_seed(0)
    head, truth = nn.Linear(6, 11).requires_grad_(False), torch.randn(10, 6)
    states, weights = 1000 * torch.randn(10, 6, requires_grad=True), torch.ones(10)
    value = soft_cross_entropy(states, truth, weights, head)
    torch.testing.assert_close(value, plain(states, truth, weights, head, head, torch.arange(11)))


def test_without_gradients_and_without_tokens() -> None:
    head, states, truth = nn.Linear(6, 11).requires_grad_(False), torch.randn(4, 6), torch.randn(4, 6)
    with torch.no_grad():
        value = soft_cross_entropy(states, truth, torch.ones(4), head)
    torch.testing.assert_close(value, plain(states, truth, torch.ones(4), head, head, torch.arange(11)))
    states.requires_grad_()
    soft_cross_entropy(states, truth, torch.zeros(4), head).backward()
    assert states.grad is not None
    assert not states.grad.any()


def test_memory_does_not_grow_with_tokens() -> None:
    """Nothing larger than a few chunks of scores exists at a time."""
    largest = 0

    class Head(nn.Linear):
        def forward(self, states: torch.Tensor) -> torch.Tensor:
            nonlocal largest
            largest = max(largest, states.shape[-2])
            return super().forward(states)

    head = Head(4, 9).requires_grad_(False)
    states = torch.randn(1, 1000, 4, requires_grad=True)
    soft_cross_entropies(states, torch.randn(1000, 4), torch.ones(1, 1000), head, head, chunk=64)
    assert largest == 64


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_types(dtype: torch.dtype) -> None:
    target_head = nn.Linear(4, 6, bias=False).to(dtype).requires_grad_(False)
    states, head = torch.randn(2, 3, 4, dtype=dtype), nn.Linear(4, 6, bias=False).to(dtype)
    truth, weights = torch.randn(3, 4, dtype=dtype), torch.ones(2, 3, dtype=dtype)
    total, each = soft_cross_entropies(states, truth, weights, head, target_head, torch.arange(6))
    total.backward()
    assert (total.dtype, each.dtype) == (torch.float32, torch.float32)
    assert head.weight.grad is not None
    assert head.weight.grad.dtype == dtype


def test_features_are_compared_where_they_count() -> None:
    torch.manual_seed(0)
    predicted, truth = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    counted = torch.rand(2, 5) < 0.5
    found = feature_loss(predicted, truth, counted)
    torch.testing.assert_close(found, smooth_l1_loss(predicted[counted], truth[counted]), rtol=1e-4, atol=0)
    assert feature_loss(predicted, truth, torch.zeros(2, 5, dtype=torch.bool)) == 0
