"""A layer's product over weights of half the size."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from specdec.drafters.halved import LARGE, STEP, Halved, halved
from torch import Tensor, nn

WIDTH = 64
HALVES = "fbgemm" in torch.backends.quantized.supported_engines


def layer(weight: Tensor, *, bias: bool = False) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias)
    made.weight.data = weight
    return made


def stored(dtype: torch.dtype, rows: int = LARGE // WIDTH, seed: int = 0, scale: float = 0.02) -> Tensor:
    """Draw weights as they come from a file in 16 bits."""
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(rows, WIDTH, generator=generator)).to(dtype).float()


@pytest.mark.skipif(not HALVES, reason="torch has the product for x86 alone")
@given(
    st.integers(0, 2**32),
    st.sampled_from([torch.float16, torch.bfloat16]),
    st.floats(1e-6, 1e3),
    st.lists(st.integers(0, 3), min_size=1, max_size=3),
    st.booleans(),
)
def test_halved_says_the_same(seed: int, dtype: torch.dtype, scale: float, shape: list[int], bias: bool) -> None:
    whole = layer(stored(dtype, 50, seed, scale), bias=bias)
    half = Halved(whole)
    states = torch.randn(*shape, WIDTH, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        said, expected = half(states), whole.double()(states.double())
    assert said.dtype == torch.float32
    rounded = STEP * states.double().norm(p=1, dim=-1, keepdim=True)
    float32 = 1e-6 * WIDTH * scale + 1e-6 * expected.abs()
    assert ((said - expected).abs() <= rounded + float32).all()


@pytest.mark.skipif(not HALVES, reason="torch has the product for x86 alone")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_that_were_stored_in_16_bits_are_halved(dtype: torch.dtype) -> None:
    assert isinstance(halved(layer(stored(dtype))), Halved)


@pytest.mark.parametrize("place", [0, LARGE - 1])
@pytest.mark.parametrize("weight", [0.1, 70000.0, float("inf"), float("nan")])
def test_weights_that_would_be_rounded_stay(weight: float, place: int) -> None:
    weights = stored(torch.float16)
    weights.view(-1)[place] = weight
    whole = layer(weights)
    assert halved(whole) is whole


@pytest.mark.parametrize(
    "other",
    [
        layer(stored(torch.float16)[:-1]),
        layer(stored(torch.float16)).double(),
        layer(stored(torch.bfloat16)).bfloat16(),
        nn.Identity(),
    ],
    ids=["small", "float64", "bfloat16", "no linear layer"],
)
def test_others_stay(other: nn.Module) -> None:
    assert halved(other) is other


def test_without_the_product_all_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specdec.drafters.halved._packs", lambda weight: False)
    whole = layer(stored(torch.float16))
    assert halved(whole) is whole
