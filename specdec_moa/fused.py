"""Parts of a layer with gradients written out: autograd takes them apart into many passes over memory."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.amp import custom_bwd, custom_fwd
from torch.nn.functional import linear


def normed_linear(
    states: Float[Tensor, "*B E"], weight: Float[Tensor, "W E"], bias: Float[Tensor, " W"] | None, epsilon: float
) -> Float[Tensor, "*B W"]:
    """Divide by root mean squares, and apply a linear layer; on a CPU."""
    made: Tensor = _NormedLinear.apply(states, weight, bias, epsilon)  # type: ignore[no-untyped-call]
    return made


def gated(both: Float[Tensor, "*B W"], activation: Callable[[Tensor], Tensor]) -> Float[Tensor, "*B F"]:
    """Multiply the activation of the first half by the second half."""
    if both.requires_grad:
        made: Tensor = _Gated.apply(both, activation)  # type: ignore[no-untyped-call]
        return made
    gate, up = both.chunk(2, -1)
    return activation(gate).mul_(up)


class _NormedLinear(torch.autograd.Function):
    @staticmethod
    @custom_fwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float) -> Tensor:
        kind = torch.promote_types(states.dtype, torch.float32)
        length = torch.linalg.vector_norm(states, dim=-1, keepdim=True, dtype=kind)
        factor = (length.square() / states.shape[-1] + epsilon).rsqrt().to(states.dtype)
        ctx.save_for_backward(states, weight, factor)
        made = linear(states, weight).mul_(factor)
        return made if bias is None else made.add_(bias)

    @staticmethod
    @custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        states, weight, factor = ctx.saved_tensors
        scaled, through = slopes[0] * factor, None
        if ctx.needs_input_grad[0]:
            through = scaled @ weight
            along = (through * states).sum(-1, keepdim=True) * factor.square() / states.shape[-1]
            through.addcmul_(states, along, value=-1)
        of_weight = scaled.flatten(0, -2).T @ states.flatten(0, -2) if ctx.needs_input_grad[1] else None
        return through, of_weight, slopes[0].flatten(0, -2).sum(0) if ctx.needs_input_grad[2] else None, None


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, both: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(both)
        ctx.activation = activation
        gate, up = both.chunk(2, -1)
        return activation(gate) * up

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, -1)
        made = torch.empty_like(both)
        of_gate, of_up = made.chunk(2, -1)
        with torch.enable_grad():
            leaf = gate.detach().requires_grad_()
            active = ctx.activation(leaf)
        torch.mul(active.detach(), slopes[0], out=of_up)
        of_gate.copy_(torch.autograd.grad(active, leaf, slopes[0] * up)[0])
        return made, None
