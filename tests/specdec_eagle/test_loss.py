"""The loss of EAGLE-3 against the formula, and its gradients against autograd's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from specdec_eagle.loss import soft_cross_entropies
from torch import Tensor, nn


def plain(states: Tensor, truth: Tensor, weights: Tensor, head: Tensor, teacher: nn.Module, tokens: Tensor) -> Tensor:
    said = teacher(truth)
    law = said[:, tokens].softmax(-1)
    inside = torch.isin(said.argmax(-1), tokens)
    return -(weights * inside * (law * (states @ head.T).log_softmax(-1)).sum(-1)).sum(-1)


@given(
    steps=st.integers(1, 3),
    count=st.integers(0, 9),
    chosen=st.sets(st.integers(0, 10), min_size=1),
    seed=st.integers(0, 99),
)
def test_equal_to_the_formula(steps: int, count: int, chosen: set[int], seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=chance, dtype=torch.float64)

    teacher = nn.Linear(5, 11, bias=False).double().requires_grad_(False)
    teacher.weight.copy_(draw(11, 5))
    tokens, truth, weights = torch.tensor(sorted(chosen)), draw(count, 5), draw(steps, count).abs()
    leaves = [draw(steps, count, 4).requires_grad_(), draw(len(tokens), 4).requires_grad_()]
    total, each = soft_cross_entropies(leaves[0], truth, weights, leaves[1], teacher, tokens, chunk=4)
    expected = plain(leaves[0], truth, weights, leaves[1], teacher, tokens)
    torch.testing.assert_close(each, expected.detach())
    torch.testing.assert_close(total, expected.sum())
    found = torch.autograd.grad(3 * total, leaves)
    torch.testing.assert_close(found, torch.autograd.grad(3 * expected.sum(), leaves))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_types(dtype: torch.dtype) -> None:
    teacher = nn.Linear(4, 6, bias=False).to(dtype).requires_grad_(False)
    states, head = torch.randn(2, 3, 4, dtype=dtype), torch.randn(6, 4, dtype=dtype, requires_grad=True)
    truth, weights = torch.randn(3, 4, dtype=dtype), torch.ones(2, 3, dtype=dtype)
    total, each = soft_cross_entropies(states, truth, weights, head, teacher, torch.arange(6))
    total.backward()
    assert (total.dtype, each.dtype, head.grad.dtype) == (torch.float32, torch.float32, dtype)
