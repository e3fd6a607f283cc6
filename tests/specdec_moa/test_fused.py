"""Gradients that are written out are those of the plain formula."""

from collections.abc import Callable

import pytest
import torch
from specdec_moa.fused import gated, normed_linear
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import gelu, linear, rms_norm, silu

EPSILON = 0.1


def drawn(*sizes: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*sizes, dtype=dtype, generator=generator).requires_grad_()


@pytest.mark.parametrize("biased", [False, True])
def test_a_norm_and_a_product(biased: bool) -> None:
    states, weight, bias = drawn(2, 3, 6), drawn(5, 6), drawn(5) if biased else None
    said = normed_linear(states, weight, bias, EPSILON)
    torch.testing.assert_close(said, linear(rms_norm(states, [6], None, EPSILON), weight, bias))
    assert gradcheck(normed_linear, (states, weight, bias, EPSILON))
    assert gradcheck(normed_linear, (states.detach(), weight, bias, EPSILON))


def test_a_norm_and_a_product_in_mixed_precision() -> None:
    states, weight, bias = (drawn(*sizes, dtype=torch.float32) for sizes in ((4, 6), (5, 6), (5,)))
    slope = torch.randn(4, 5)
    with torch.autocast("cpu", torch.bfloat16):
        said = normed_linear(states, weight, bias, EPSILON)
        expected = linear(rms_norm(states, [6], None, EPSILON), weight, bias)
    assert said.dtype == torch.bfloat16
    torch.testing.assert_close(said, expected, atol=0.05, rtol=0.05)
    for one, two in zip(
        *(torch.autograd.grad(way, (states, weight, bias), slope.to(way.dtype)) for way in (said, expected)),
        strict=True,
    ):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, two, atol=0.1, rtol=0.05)


@pytest.mark.parametrize("activation", [silu, gelu])
def test_a_gate(activation: Callable[[Tensor], Tensor]) -> None:
    both = drawn(2, 3, 8)
    gate, up = both.chunk(2, -1)
    torch.testing.assert_close(gated(both, activation), activation(gate) * up)
    assert gradcheck(lambda both: gated(both, activation), (both,))
