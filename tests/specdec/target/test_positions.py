"""How long texts may be: as long as each is read alike whatever is read with it, and no shorter."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Phi3Config, PreTrainedConfig, PreTrainedModel, Qwen2Config

from specdec import Decoder, Sampling, Stop, Target
from specdec.drafters import NoDrafter, SmallModel
from specdec.errors import PromptError
from specdec.policies import Chain
from tests.plain import generate
from tests.toys import VOCAB, prompt, tiny

SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "initializer_range": 0.4,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
LONG = [1.5, 2.0, 4.0, 8.0]


def model(kind: type[PreTrainedConfig], known: int, **rope: Any) -> PreTrainedModel:
    original = {"original_max_position_embeddings": 40} if kind is Phi3Config else {}
    rope = {"rope_theta": 10000.0, **rope}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = kind(**SIZES, **original, max_position_embeddings=known, rope_parameters=rope)
        return AutoModelForCausalLM.from_config(config).double().eval().requires_grad_(False)


def longrope(short: list[float]) -> PreTrainedModel:
    return model(Phi3Config, 256, rope_type="longrope", short_factor=short, long_factor=LONG)


def dynamic() -> PreTrainedModel:
    return model(LlamaConfig, 40, rope_type="dynamic", factor=4.0)


@pytest.mark.parametrize("make", [lambda: longrope([1.0] * 4), dynamic], ids=["longrope", "dynamic"])
@pytest.mark.parametrize("drafting", [False, True])
def test_texts_are_served_up_to_where_the_factors_change(make: Any, drafting: bool) -> None:
    """Beside others, with drafts, after `generate` read longer ones; longer ones are refused with what to do."""
    served = make()
    target = Target(served)
    drafter = SmallModel(served) if drafting else NoDrafter()
    prompts = [prompt(5), prompt(28)]
    expected = [tuple(generate(served, one, 12, Sampling())) for one in prompts]
    generate(served, prompt(90), 1, Sampling())
    said = Decoder(drafter, target, Chain(5)).generate(prompts, Sampling(), Stop(12, tokens=()))

    assert target.max_length == 40
    assert said.tokens == tuple(expected)
    for length, count in ((39, 2), (60, 1)):
        with pytest.raises(
            PromptError, match=r"target's 40 positions, got .*; for long texts, load it with rope_param"
        ):
            Decoder(drafter, target, Chain(5)).generate(prompt(length), Sampling(), Stop(count))
    with pytest.raises(PromptError, match=r"the 40 positions of SmallModel, got a limit of 46; .* rope_parameters"):
        Decoder(SmallModel(served), Target(tiny())).generate(prompt(6), Sampling(), Stop(40))


def test_long_factors_alone_are_served_to_the_end() -> None:
    """What the error says to do, which `generate` follows, too."""
    served = longrope(LONG)
    target, prompts = Target(served), [prompt(5), prompt(150)]
    said = Decoder(SmallModel(served), target, Chain(5)).generate(prompts, Sampling(), Stop(12, tokens=()))

    assert target.max_length == 256
    assert said.tokens == tuple(tuple(generate(served, one, 12, Sampling())) for one in prompts)


@pytest.mark.parametrize(
    ("known", "rope", "reach"),
    [
        (40, {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 40}, 160),
        (160, {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 40}, 160),
        (40, {"rope_type": "yarn", "factor": 4.0}, 160),
        (40, {"rope_type": "linear", "factor": 2.0}, 80),
        (40, {"rope_type": "default"}, 40),
    ],
)
def test_rotary_embeddings_that_are_scaled_reach_further(known: int, rope: dict[str, Any], reach: int) -> None:
    served = model(Qwen2Config, known, **rope)
    target, length = Target(served), reach - 6
    said = Decoder(NoDrafter(), target).generate(prompt(length), Sampling(), Stop(6, tokens=()))

    assert target.max_length == reach
    assert list(said.tokens[0]) == generate(served, prompt(length), 6, Sampling())
    with pytest.raises(PromptError, match=f"target's {reach} positions"):
        Decoder(NoDrafter(), target).generate(prompt(reach), Sampling(), Stop(1))


def test_who_knows_better_may_set_the_length() -> None:
    served = model(Qwen2Config, 40, rope_type="default")
    target = Target(served)
    target.engine.max_length = None
    said = Decoder(NoDrafter(), target).generate(prompt(70), Sampling(), Stop(6, tokens=()))

    assert list(said.tokens[0]) == generate(served, prompt(70), 6, Sampling())
