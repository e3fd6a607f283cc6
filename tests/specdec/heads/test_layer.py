"""A split layer is transformers' own layer, with and without gradients."""

import pytest
import torch
from torch import Tensor

from specdec.heads import SplitLayer, attend, causal, drafting_copy, rotate
from specdec_moa import MoAModel
from tests.specdec_moa.heads import head, target

SIZE = 5
KINDS = ["llama", "qwen2"]


def model_and_states(kind: str) -> tuple[MoAModel, Tensor, tuple[Tensor, Tensor]]:
    torch.manual_seed(1)
    model = head(target(kind)).float().requires_grad_()
    states = torch.randn(2, SIZE, model.config.hidden_size)
    return model, states, model.self_rotary(states, torch.arange(SIZE)[None])


@pytest.mark.parametrize("kind", KINDS)
def test_is_the_layer(kind: str) -> None:
    model, states, rotary = model_and_states(kind)
    hidden = torch.full((2, 1, SIZE, SIZE), -1e9).triu(1)
    model.self_attention.self_attn.config._attn_implementation = "eager"
    expected = model.self_attention(states, attention_mask=hidden, position_embeddings=rotary)
    layer = SplitLayer.of(model.self_attention)
    for masked in ({"mask": hidden}, {"mask": causal(SIZE)[None, None]}, {"causal": True}):
        found = layer.finish(states, attend(*layer.project(states, rotary), **masked))
        torch.testing.assert_close(found, expected)
    copy = drafting_copy(layer)
    torch.testing.assert_close(copy.finish(states, attend(*copy.project(states, rotary), hidden)), expected)
    parameters, weight = list(model.self_attention.parameters()), torch.randn_like(found)
    gradients = [torch.autograd.grad((way * weight).sum(), parameters) for way in (expected, found)]
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("kind", [*KINDS, "qwen3"])
@pytest.mark.parametrize("copied", [False, True])
def test_queries_keys_and_values_can_be_made_apart(kind: str, copied: bool) -> None:
    """Also of a family that norms each head."""
    source = target(kind)
    states = torch.randn(2, SIZE, source.config.hidden_size, dtype=source.dtype)
    rotary = source.model.rotary_emb(states, torch.arange(SIZE)[None])
    layer = SplitLayer.of(source.model.layers[0])
    layer = drafting_copy(layer) if copied else layer
    queries, (keys, values) = layer.project(states, rotary)
    torch.testing.assert_close(layer.query(states, rotary), queries)
    own_keys, own_values = layer.keys_values(states)
    torch.testing.assert_close(rotate(own_keys, rotary), keys)
    torch.testing.assert_close(own_values, values)


def test_the_first_half_can_read_what_the_caller_has_normed() -> None:
    model, states, rotary = model_and_states("llama")
    normed = model.self_attention.input_layernorm(states)
    queries, (keys, values) = SplitLayer.of(model.self_attention, normed=False).project(normed, rotary)
    expected, (expected_keys, expected_values) = SplitLayer.of(model.self_attention).project(states, rotary)
    torch.testing.assert_close([queries, keys, values], [expected, expected_keys, expected_values])


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_layers_are_mixed_by_the_layer(heads: int) -> None:
    """However many heads it has: they need not fill its width."""
    model = head(target(), layer_self_attention_num_attention_heads=heads).float()
    packed = torch.randn(2, 3, 4, model.config.kv_hidden_size)
    states, layer = packed.flatten(0, 1), model.layer_self_attention
    layer.self_attn.config._attn_implementation = "eager"
    expected = layer(states, position_embeddings=model.layer_rotary(states, torch.arange(4)[None])).mean(1)
    torch.testing.assert_close(model.mix_layers(packed).flatten(0, 1), expected)


@pytest.mark.parametrize("rows", [0, 2])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_mask_that_hides_nothing_is_no_mask(groups: int, rows: int) -> None:
    model = head(target(), self_attention_num_key_value_heads=groups)
    states = torch.randn(rows, SIZE, model.config.hidden_size, dtype=model.dtype)
    layer = SplitLayer.of(model.self_attention)
    queries, keys_values = layer.project(states, model.self_rotary(states, torch.arange(SIZE)[None]))
    everything = torch.ones(rows, 1, SIZE, SIZE, dtype=torch.bool)
    torch.testing.assert_close(attend(queries, keys_values), attend(queries, keys_values, everything))
