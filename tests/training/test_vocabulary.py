import pytest
import torch
from torch import nn

from specdec.training import soft_cross_entropy


def plain(states: torch.Tensor, truth: torch.Tensor, weights: torch.Tensor, head: nn.Module) -> torch.Tensor:
    law, said = head(truth).detach().softmax(-1), head(states).log_softmax(-1)
    return -(weights * (law * said).sum(-1)).sum()


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_equals_the_plain_loss(trained: bool, chunk: int) -> None:
    torch.manual_seed(0)
    head = nn.Linear(6, 11).requires_grad_(trained)
    truth, weights = torch.randn(10, 6), torch.tensor([0.0, 1, 2, 0, 1, 1, 0.5, 0, 3, 1])
    results = []
    for loss in (plain, lambda *given: soft_cross_entropy(*given, chunk=chunk)):
        states = torch.randn(10, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
        head.zero_grad()
        value = loss(states, truth, weights, head)
        (2 * value).backward()
        results.append([value.detach(), states.grad, *([head.weight.grad, head.bias.grad] if trained else [])])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_scores_may_be_large() -> None:
    """So large that all but one of the probabilities are zero."""
    torch.manual_seed(0)
    head, truth = nn.Linear(6, 11).requires_grad_(False), torch.randn(10, 6)
    states, weights = 1000 * torch.randn(10, 6, requires_grad=True), torch.ones(10)
    value = soft_cross_entropy(states, truth, weights, head)
    torch.testing.assert_close(value, plain(states, truth, weights, head))


def test_without_gradients_and_without_tokens() -> None:
    head, states, truth = nn.Linear(6, 11).requires_grad_(False), torch.randn(4, 6), torch.randn(4, 6)
    with torch.no_grad():
        torch.testing.assert_close(
            soft_cross_entropy(states, truth, torch.ones(4), head), plain(states, truth, torch.ones(4), head)
        )
    states.requires_grad_()
    soft_cross_entropy(states, truth, torch.zeros(4), head).backward()
    assert states.grad is not None
    assert not states.grad.any()


def test_memory_does_not_grow_with_tokens() -> None:
    """On shapes alone: nothing larger than a few chunks of scores exists at a time."""
    largest = 0

    class Head(nn.Linear):
        def forward(self, states: torch.Tensor) -> torch.Tensor:
            nonlocal largest
            largest = max(largest, len(states))
            return super().forward(states)

    head = Head(4, 9).requires_grad_(False)
    soft_cross_entropy(torch.randn(1000, 4, requires_grad=True), torch.randn(1000, 4), torch.ones(1000), head, chunk=64)
    assert largest == 64
