"""Copies for drafting compute the same, show the weights as they were, and leave the layer alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from specdec.heads import HalfPrecisionLinear, Projection, SplitLayer, copies, drafting_copy
from specdec.heads.copies import JoinedProjection
from specdec.target.half import LAYER_MIN, STEP
from tests.specdec_moa.heads import head, target

WIDTH = 64
HALVES = "fbgemm" in torch.backends.quantized.supported_engines


def layer(weight: Tensor, *, bias: bool = False) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias)
    made.weight.data = weight
    return made


def stored(dtype: torch.dtype, rows: int = LAYER_MIN // WIDTH, seed: int = 0, scale: float = 0.02) -> Tensor:
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
def test_half_precision_computes_the_same(
    seed: int, dtype: torch.dtype, scale: float, shape: list[int], bias: bool
) -> None:
    whole = layer(stored(dtype, 50, seed, scale), bias=bias)
    half = HalfPrecisionLinear(whole)
    states = torch.randn(*shape, WIDTH, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        said, expected = half(states), whole.double()(states.double())
    assert said.dtype == torch.float32
    rounded = STEP * states.double().norm(p=1, dim=-1, keepdim=True)
    float32 = 1e-6 * WIDTH * scale + 1e-6 * expected.abs()
    assert ((said - expected).abs() <= rounded + float32).all()


@pytest.mark.skipif(not HALVES, reason="torch has the product for x86 alone")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_that_were_stored_in_16_bits_are_drafting_copy(dtype: torch.dtype) -> None:
    assert isinstance(drafting_copy(layer(stored(dtype))), HalfPrecisionLinear)


@pytest.mark.parametrize("place", [0, LAYER_MIN - 1])
@pytest.mark.parametrize("weight", [0.1, 70000.0, float("inf"), float("nan")])
def test_weights_that_would_be_rounded_stay(weight: float, place: int) -> None:
    weights = stored(torch.float16)
    weights.view(-1)[place] = weight
    whole = layer(weights)
    assert drafting_copy(whole) is whole


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
    assert drafting_copy(other) is other


def test_without_the_product_all_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specdec.target.half._has_product", lambda weight: False)
    whole = layer(stored(torch.float16))
    assert drafting_copy(whole) is whole


class Doubled(nn.Module):
    """Gives twice what a layer gives, and has no weight of its own."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self._layer = [layer]

    def forward(self, states: Tensor) -> Tensor:
        return 2 * self._layer[0](states)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("normed", [True, False])
def test_small_weights_are_joined_and_the_layer_is_left_alone(
    kind: str, normed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large ones stay where they are; either way the layer computes the same."""
    model = head(target(kind))
    states, before = torch.randn(2, 5, model.config.hidden_size, dtype=model.dtype), [*model.parameters()]
    split = SplitLayer.of(model.self_attention, normed=normed)
    for small, type_ in ((copies.SMALL, JoinedProjection), (0, Projection)):
        monkeypatch.setattr(copies, "SMALL", small)
        copy = drafting_copy(split)
        assert type(copy.qkv) is type(copy.gate_up) is type_
        torch.testing.assert_close(copy.keys_values(states), split.keys_values(states), atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(copy.qkv(states), split.qkv(states), atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(copy.gate_up(states), split.gate_up(states), atol=1e-6, rtol=1e-6)
    assert all(one is two for one, two in zip(before, model.parameters(), strict=True))


@torch.no_grad()
def test_a_copy_shows_the_weights_as_they_were_when_it_was_made() -> None:
    model = head(target())
    states = torch.randn(1, 5, model.config.hidden_size, dtype=model.dtype)
    split = SplitLayer.of(model.cross_attention)
    copy = drafting_copy(split)
    old = copy.keys_values(states)[1]
    model.cross_attention.self_attn.v_proj.weight *= 2
    torch.testing.assert_close(copy.keys_values(states)[1], old)
    torch.testing.assert_close(drafting_copy(split).keys_values(states)[1], 2 * old)


@torch.no_grad()
def test_quantized_layers_are_called_as_they_are() -> None:
    """Their weights are no numbers to be copied."""
    model = head(target()).float()
    states = torch.randn(1, 5, model.config.hidden_size)
    keys, values = drafting_copy(SplitLayer.of(model.cross_attention)).keys_values(states)
    model.cross_attention.self_attn.v_proj = Doubled(model.cross_attention.self_attn.v_proj)
    found = drafting_copy(SplitLayer.of(model.cross_attention)).keys_values(states)
    torch.testing.assert_close(found, (keys, 2 * values))
