"""Losses of a head; those over the vocabulary never hold the scores of all tokens."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from specdec.heads.layer import float_type

CHUNK = 128
"""Tokens whose scores exist at a time: 66 MB of float32 for a vocabulary of 128k, and a few times that in all."""
SCORES = 2**21
"""Scores that may always exist at a time: more tokens of a small vocabulary make for larger products."""


def feature_loss(
    predicted: Float[Tensor, "B T E"], truth: Float[Tensor, "B T E"], counted: Bool[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """Mean smooth L1 distance of features, over the tokens that are `counted`."""
    distance = smooth_l1_loss(predicted.float(), truth.float(), reduction="none").mean(-1)
    mean: Tensor = (distance * counted).sum() / (counted.sum() + 1e-5)
    return mean


def soft_cross_entropy(
    states: Float[Tensor, "M E"],
    truth: Float[Tensor, "M E"],
    weights: Float[Tensor, " M"],
    head: nn.Module,
    target_head: nn.Module | None = None,
    tokens: Int[Tensor, " W"] | None = None,
) -> Float[Tensor, ""]:
    """Sum, over tokens, of weight times `-sum(p * log q)`: p by the target's states `truth`, q by ours.

    `target_head` and `tokens` are those of `soft_cross_entropies`; by default p is by `head` too.
    """
    target_head = head if target_head is None else target_head
    return soft_cross_entropies(states[None], truth, weights[None], head, target_head, tokens)[0]


def soft_cross_entropies(
    states: Float[Tensor, "S M E"],
    truth: Float[Tensor, "M F"],
    weights: Float[Tensor, "S M"],
    head: nn.Module,
    target_head: nn.Module,
    tokens: Int[Tensor, " W"] | None = None,
    chunk: int | None = None,
) -> tuple[Float[Tensor, ""], Float[Tensor, " S"]]:
    """Sum weight times `-sum(p * log q)` over S predictions of M tokens; return that, and each prediction's for a log.

    With `tokens`, the target's ids of a draft vocabulary, p is restricted to these; where the target's likeliest token
    is none of them, nothing is learnt. Tokens of weight zero cost nothing. Gradients, of the head as well if it is
    trained, are computed with the loss, chunk by chunk.
    """
    dtype, counted = float_type(head, states.dtype), (weights > 0).any(0)
    states, truth, weights = states[:, counted].to(dtype), truth[counted].detach(), weights[:, counted].detach()
    chunk = chunk or max(CHUNK, SCORES // (len(states) * _size(head)))
    trained = [parameter for parameter in head.parameters() if parameter.requires_grad]
    total, each = _Chunked.apply(head, target_head, tokens, chunk, truth, weights, states, *trained)  # type: ignore[no-untyped-call]
    return total, each


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        head: nn.Module,
        target_head: nn.Module,
        tokens: Tensor | None,
        chunk: int,
        truth: Tensor,
        weights: Tensor,
        states: Tensor,
        *trained: Tensor,
    ) -> tuple[Tensor, Tensor]:
        wide = torch.promote_types(states.dtype, torch.float32)
        each = states.new_zeros(len(states), dtype=wide)
        gradients = [torch.empty_like(states), *(torch.zeros_like(weight, dtype=wide) for weight in trained)]
        for start in range(0, states.shape[1], chunk):
            part = slice(start, start + chunk)
            leaf = states[:, part].detach().requires_grad_()
            with torch.enable_grad():
                logits = head(leaf)
            p, known = _target_probs(target_head(truth[part]).to(wide), tokens)
            scale = (weights[:, part] * known)[..., None]
            log_q = logits.detach().to(wide).log_softmax(-1)
            each -= (scale * (p * log_q).sum(-1, keepdim=True)).sum((1, 2))
            slopes = log_q.exp_().sub_(p).mul_(scale).to(logits.dtype)
            gradients[0][:, part], *others = torch.autograd.grad(logits, [leaf, *trained], slopes)
            for total, gradient in zip(gradients[1:], others, strict=True):
                total += gradient
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(each)
        ctx.dtypes = [states.dtype, *(weight.dtype for weight in trained)]
        return each.sum(), each

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        scaled = (gradient * outer[0] for gradient in ctx.saved_tensors)
        return *[None] * 6, *(gradient.to(dtype) for gradient, dtype in zip(scaled, ctx.dtypes, strict=True))


def _target_probs(
    logits: Float[Tensor, "C V"], tokens: Int[Tensor, " W"] | None
) -> tuple[Float[Tensor, "C W"], Float[Tensor, " C"]]:
    """Restrict the target's probabilities to these tokens, and tell where its likeliest is one of them."""
    if tokens is None or len(tokens) == logits.shape[-1]:
        return logits.softmax(-1), torch.ones_like(logits[:, 0])
    drafted = logits[:, tokens]
    return drafted.softmax(-1), (drafted.amax(-1) == logits.amax(-1)).to(logits)


def _size(head: nn.Module) -> int:
    """How many tokens an output head scores; layers in place of linear ones name that as these do."""
    return int(head.out_features)  # type: ignore[arg-type]
