"""The loss of several predictions of the same tokens, under an output head that is trained itself."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

CHUNK = 128
"""Tokens whose laws exist at a time."""


def soft_cross_entropies(
    states: Float[Tensor, "S M E"],
    truth: Float[Tensor, "M F"],
    weights: Float[Tensor, "S M"],
    head: Float[Tensor, "W E"],
    target_head: nn.Module,
    tokens: Int[Tensor, " W"],
    chunk: int = CHUNK,
) -> tuple[Float[Tensor, ""], Float[Tensor, " S"]]:
    """Sum weight times `-sum(p * log q)` over S predictions of M tokens; give the sum, and each prediction's for a log.

    The target's law p of `truth` is that of `tokens` alone, and computed once; where its likeliest token is none of
    these, nothing is learnt. Gradients are worked out as the loss is, so that no scores are kept.
    """
    total, each = _Fused.apply(states, weights, head, truth, target_head, tokens, chunk)  # type: ignore[no-untyped-call]
    return total, each


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weights: Tensor,
        head: Tensor,
        truth: Tensor,
        target_head: nn.Module,
        tokens: Tensor,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        wide = torch.promote_types(states.dtype, torch.float32)
        each = states.new_zeros(len(states), dtype=wide)
        gradients = torch.empty_like(states), torch.zeros_like(head, dtype=wide)
        for start in range(0, states.shape[1], chunk):
            part = slice(start, start + chunk)
            law, inside = _law(target_head(truth[part]).to(wide), tokens)
            scale = weights[:, part, None] * inside[:, None]
            read = states[:, part]
            log_q = (read @ head.T).to(wide).log_softmax(-1)
            each -= (scale * (law * log_q).sum(-1, keepdim=True)).sum((1, 2))
            error = log_q.exp_().sub_(law).mul_(scale).to(states.dtype)
            gradients[0][:, part] = (error @ head).to(states.dtype)
            gradients[1].add_(error.flatten(0, 1).T @ read.flatten(0, 1))
        ctx.save_for_backward(gradients[0], gradients[1].to(head.dtype))
        ctx.mark_non_differentiable(each)
        return each.sum(), each

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        by_states, by_head = ctx.saved_tensors
        factor = outer[0]
        return by_states * factor.to(by_states.dtype), None, by_head * factor.to(by_head.dtype), None, None, None, None


def _law(logits: Float[Tensor, "C V"], tokens: Int[Tensor, " W"]) -> tuple[Float[Tensor, "C W"], Float[Tensor, " C"]]:
    """Restrict the target's law to these tokens, and say where its likeliest is one of them."""
    if len(tokens) == logits.shape[-1]:
        return logits.softmax(-1), torch.ones_like(logits[:, 0])
    drafted = logits[:, tokens]
    return drafted.softmax(-1), (drafted.amax(-1) == logits.amax(-1)).to(logits)
