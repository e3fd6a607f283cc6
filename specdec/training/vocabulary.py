"""The loss over the vocabulary, without ever holding the scores of all tokens."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

__all__ = ["soft_cross_entropy"]

CHUNK = 128
"""Tokens whose scores exist at a time: 66 MB of float32 for a vocabulary of 128k, and a few times that in all."""
SCORES = 2**21
"""Scores that may always exist at a time: more tokens of a small vocabulary make for larger products."""
CACHED = 2**18
"""Scores that a CPU compares at a time, so that they stay in its cache."""


def soft_cross_entropy(
    states: Float[Tensor, "M E"],
    truth: Float[Tensor, "M E"],
    weights: Float[Tensor, " M"],
    head: nn.Module,
    target_head: nn.Module | None = None,
    chunk: int | None = None,
) -> Float[Tensor, ""]:
    """Sum, over tokens, of weight times `-sum(p * log q)`: p is the target's law of `truth`, q ours of `states`.

    Tokens of weight zero cost nothing. With a head that is not trained, gradients are worked out as the loss is,
    chunk by chunk; with one that is, each chunk is computed a second time on the way back.
    """
    wanted, weight = weights > 0, next(head.parameters())
    states, truth, weights = states[wanted].to(weight.dtype), truth[wanted].detach(), weights[wanted].detach()
    chunk = chunk or max(CHUNK, SCORES // len(weight))
    teacher = target_head or head
    if not torch.is_grad_enabled() or any(parameter.requires_grad for parameter in head.parameters()):
        return _recomputed(states, truth, weights, head, teacher, chunk)
    total: Tensor = _Fused.apply(states, truth, weights, head, teacher, chunk)  # type: ignore[no-untyped-call]
    return total


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states: Tensor, truth: Tensor, weights: Tensor, head: nn.Module, teacher: nn.Module, chunk: int
    ) -> Tensor:
        total, gradient = weights.new_zeros((), dtype=torch.float32), torch.empty_like(states)
        for start in range(0, len(states), chunk):
            part = slice(start, start + chunk)
            leaf = states[part].detach().requires_grad_()
            with torch.enable_grad():
                said = head(leaf)
            slopes = teacher(truth[part]).float()
            rows = max(CACHED // slopes.shape[-1], 1) if slopes.device.type == "cpu" else len(slopes)
            pieces = zip(*(torch.split(scores, rows) for scores in (slopes, said.detach().float())), strict=True)
            total += (weights[part] * torch.cat([_compare(*piece) for piece in pieces])).sum()
            gradient[part] = torch.autograd.grad(said, leaf, slopes.to(said.dtype))[0]
        ctx.save_for_backward(gradient.mul_(weights[:, None]))
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0].to(gradient.dtype), None, None, None, None, None


def _compare(truth: Float[Tensor, "M V"], scores: Float[Tensor, "M V"]) -> Float[Tensor, " M"]:
    """Give each token's cross-entropy, and put its slopes by the scores in place of the target's scores."""
    law, slopes = truth.softmax(-1), scores.softmax(-1)
    spread = scores.amax(-1) - slopes.amax(-1).log()  # the logarithm of the sum of exponentials
    torch.sub(slopes, law, out=truth)
    return spread - law.mul_(scores).sum(-1)


def _recomputed(
    states: Tensor, truth: Tensor, weights: Tensor, head: nn.Module, teacher: nn.Module, chunk: int
) -> Tensor:
    total = states.sum().float() * 0.0  # a gradient of zero where there is nothing to learn
    for start in range(0, len(states), chunk):
        part = slice(start, start + chunk)
        total = total + checkpoint(_dense, states[part], truth[part], weights[part], head, teacher, use_reentrant=False)
    return total


def _dense(states: Tensor, truth: Tensor, weights: Tensor, head: nn.Module, teacher: nn.Module) -> Tensor:
    with torch.no_grad():
        law = teacher(truth).float().softmax(-1)
    loss: Tensor = -(weights * (law * head(states).float().log_softmax(-1)).sum(-1)).sum()
    return loss
