"""A block is transformers' own layer, with and without gradients, and leaves the layer what it was."""

import pytest
import torch
from specdec_moa.attention import Block
from specdec_moa.readers import JoinedReaders, Readers
from specdec_moa.rotary import Turns, angles
from torch import Tensor, nn
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from specdec_moa import MoAModel, attention, readers
from tests.specdec_moa.heads import head, target

SIZE = 5


class Doubled(nn.Module):
    """Gives twice what a layer gives, and has no weight of its own."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self._layer = [layer]

    def forward(self, states: Tensor) -> Tensor:
        return 2 * self._layer[0](states)


def layer_and_block(kind: str, mean: bool) -> tuple[Tensor, Tensor, MoAModel]:
    """Run the self-attention over a causal row as transformers does, and as a block."""
    torch.manual_seed(1)
    model = head(target(kind)).float().requires_grad_()
    states, positions = torch.randn(2, SIZE, model.config.hidden_size), torch.arange(SIZE)[None]
    causal = torch.full((2, 1, SIZE, SIZE), -1e9).triu(1)
    rotary = model.self_rotary(states, positions)
    model.self_attention.self_attn.config._attn_implementation = "eager"
    expected = model.self_attention(states, attention_mask=causal, position_embeddings=rotary)
    block = Block.of(model.self_attention)
    turns = angles(model.self_rotary, states, positions)
    said = block.attend(states, *block.query_and_project(states, turns), causal, mean=mean)
    return expected.mean(1, keepdim=True) if mean else expected, said, model


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("mean", [False, True])
def test_is_the_layer(kind: str, mean: bool) -> None:
    expected, said, model = layer_and_block(kind, mean)
    torch.testing.assert_close(said, expected)
    with torch.no_grad():
        _, again, _ = layer_and_block(kind, mean)
    torch.testing.assert_close(again, expected)
    parameters = list(model.self_attention.parameters())
    weight = torch.randn_like(said)
    for one, two in zip(
        *(torch.autograd.grad((way * weight).sum(), parameters) for way in (expected, said)), strict=True
    ):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


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
    """Without one, query heads that share keys stand as more queries of one head."""
    model = head(target(), self_attention_num_key_value_heads=groups)
    states = torch.randn(rows, SIZE, model.config.hidden_size, dtype=model.dtype)
    block, turns = Block.of(model.self_attention), angles(model.self_rotary, states, torch.arange(SIZE)[None])
    asked = block.query_and_project(states, turns)
    all_seen = torch.ones(rows, 1, SIZE, SIZE, dtype=torch.bool)
    torch.testing.assert_close(block.attend(states, *asked), block.attend(states, *asked, all_seen))


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_short_attention_learns_the_same(groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training keeps the scores where they are few; where they are not, torch's own kernel finds them again."""
    model = head(target(), self_attention_num_key_value_heads=groups).requires_grad_()
    states = torch.randn(3, SIZE, model.config.hidden_size, dtype=model.dtype, requires_grad=True)
    turns, weight = angles(model.self_rotary, states, torch.arange(SIZE)[None]), torch.randn_like(states)
    parameters, found, called = [states, *model.self_attention.parameters()], [], []
    short = attention._attend_short
    monkeypatch.setattr(attention, "_attend_short", lambda *args: called.append(args) or short(*args))
    for most in (attention.SHORT, 0):
        monkeypatch.setattr(attention, "SHORT", most)
        block = Block.of(model.self_attention)
        said = block.attend(states, *block.query_and_project(states, turns))
        found.append([said, *torch.autograd.grad((weight * said).sum(), parameters)])
    assert len(called) == 1
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_drafting_copies_small_weights_and_leaves_the_layer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large ones stay where they are; either way the block says the same."""
    model = head(target("qwen2"))
    states, layer = torch.randn(2, SIZE, model.config.hidden_size, dtype=model.dtype), model.cross_attention
    turns, before = angles(model.cross_rotary, states, torch.arange(SIZE)[None]), [*layer.parameters()]
    said = []
    for most, kind in ((readers.LARGE, JoinedReaders), (0, Readers)):
        monkeypatch.setattr(readers, "LARGE", most)
        with torch.no_grad():
            block = Block.of(layer)
            said.append(block.attend(states, *block.query_and_project(states, turns)))
        assert type(block.reads) is type(block.widens) is kind
        assert (block.onto.weight is None) == (kind is Readers)
    torch.testing.assert_close(*said, atol=1e-6, rtol=1e-6)
    assert all(one is two for one, two in zip(before, layer.parameters(), strict=True))


def test_a_block_shows_the_weights_as_they_were_when_it_was_made() -> None:
    model = head(target())
    states = torch.randn(1, SIZE, model.config.hidden_size, dtype=model.dtype)
    with torch.no_grad():
        block = Block.of(model.cross_attention)
        old = block.project(states)[1]
        model.cross_attention.self_attn.v_proj.weight *= 2
        torch.testing.assert_close(block.project(states)[1], old)
        torch.testing.assert_close(Block.of(model.cross_attention).project(states)[1], 2 * old)


def test_quantized_layers_are_called_as_they_are() -> None:
    """Their weights are no numbers to be copied."""
    model = head(target()).float()
    states = torch.randn(1, SIZE, model.config.hidden_size)
    with torch.no_grad():
        expected = Block.of(model.cross_attention).project(states)
        model.cross_attention.self_attn.v_proj = Doubled(model.cross_attention.self_attn.v_proj)
        said = Block.of(model.cross_attention).project(states)
    torch.testing.assert_close(said[0], expected[0])
    torch.testing.assert_close(said[1], 2 * expected[1])


@pytest.mark.parametrize("kind", ["default", *sorted(ROPE_INIT_FUNCTIONS.keys() - {"longrope", "proportional"})])
def test_turns_are_those_of_the_module(kind: str) -> None:
    config = head(target()).config.block("self_attention")
    config.rope_parameters = {
        "rope_type": kind,
        "rope_theta": 10000.0,
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    }
    rotary, states = LlamaRotaryEmbedding(config), torch.zeros(1, dtype=torch.float64)
    turns = Turns(rotary)
    for start in (0, 3, 300, 20):
        positions = torch.arange(start, start + 4)[None]
        for one, two in zip(angles(rotary, states, positions), turns(states, positions, start + 4), strict=True):
            torch.testing.assert_close(one, two)


def test_angles_follow_the_states_and_serve_training_after_drafting() -> None:
    rotary = LlamaRotaryEmbedding(LlamaConfig(hidden_size=16, num_attention_heads=2))
    turns, positions = Turns(rotary), torch.arange(4)[None]
    with torch.inference_mode():
        turns(torch.zeros(1), positions, 4)
    weight = torch.ones(8, requires_grad=True)
    sum((weight * part).sum() for part in turns(torch.zeros(1), positions, 4)).backward()

    assert weight.grad is not None
    assert [part.dtype for part in turns(torch.zeros(1, dtype=torch.float64), positions, 4)] == [torch.float64] * 2


@pytest.mark.parametrize(
    ("other", "alike"), [({}, True), ({"rope_theta": 500.0}, False), ({"factor": 2.0}, False), ({"size": 32}, False)]
)
def test_only_what_turns_alike_shares_its_angles(other: dict[str, float], alike: bool) -> None:
    def rotary(*, rope_type: str = "linear", rope_theta: float = 1e4, factor: float = 4.0, size: int = 16) -> nn.Module:
        parameters = {"rope_type": rope_type, "rope_theta": rope_theta, "factor": factor}
        return LlamaRotaryEmbedding(LlamaConfig(hidden_size=size, num_attention_heads=2, rope_parameters=parameters))

    assert Turns(rotary()).like(rotary(**other)) == alike  # type: ignore[arg-type]
    assert not Turns(rotary(rope_type="dynamic")).like(rotary(rope_type="dynamic"))
