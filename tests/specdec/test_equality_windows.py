"""Models that look back only so far, and float32, where near ties may fall either way."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from specdec import Decoder, Sampling, Stop, Target
from specdec.drafters import SmallModel
from specdec.policies import Chain, Static
from tests.plain import decode_plainly, generate, loop
from tests.toys import RAGGED, build

MIXED = {"num_hidden_layers": 4, "layer_types": ["sliding_attention", "full_attention"] * 2, "sliding_window": 5}
WINDOWS: dict[str, tuple[str, dict[str, Any]]] = {
    "mistral": ("mistral", {"sliding_window": 6}),
    "gemma2": ("gemma2", MIXED | {"query_pre_attn_scalar": 8, "attn_implementation": "eager"}),
    "gemma3": ("gemma3_text", MIXED | {"query_pre_attn_scalar": 8}),
    "qwen2": ("qwen2", MIXED | {"use_sliding_window": True}),
}


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("policy", [Chain(4), Static((2, 2, 1))])
def test_windows_smaller_than_the_text_are_kept_to(name: str, policy: Any) -> None:
    """Nodes of a tree see as far back as they would in plain text, in each kind of layer."""
    kind, options = WINDOWS[name]
    model = build(kind, seed=3, **options)
    expected = tuple(tuple(generate(model, prompt, 12, Sampling())) for prompt in RAGGED)
    decoder = Decoder(SmallModel(model), Target(model), policy)

    assert decoder.generate(RAGGED, Sampling(), Stop(12, tokens=())).tokens == expected
    assert decoder.metrics.summary().acceptance_length > 3


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_hold_when_sampling(name: str) -> None:
    kind, options = WINDOWS[name]
    model = build(kind, seed=4, **options)
    sampling = Sampling(1.0, top_p=0.95, seed=8)
    decoder = Decoder(SmallModel(build(kind, seed=5, **options)), Target(model), Static((3, 2)))
    said = decoder.generate(RAGGED, [sampling] * 5, Stop(12, tokens=())).tokens

    assert said == tuple(tuple(loop(model, prompt, 12, sampling)) for prompt in RAGGED)


OTHERS = ("falcon", "gpt_bigcode", "opt", "phi", "phi3", "olmo2", "stablelm", "starcoder2", "granite", "glm4")


@pytest.mark.parametrize("kind", OTHERS)
def test_other_architectures_are_read_as_they_are(kind: str) -> None:
    """Nothing is made for one architecture; these were never looked at one by one."""
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128} if kind == "gpt_bigcode" else {}
    sizes |= {"ffn_dim": 48, "word_embed_proj_dim": 32} if kind == "opt" else {}
    model = build(kind, **sizes)
    expected = tuple(tuple(generate(model, prompt, 12, Sampling())) for prompt in RAGGED)
    decoder = Decoder(SmallModel(model), Target(model), Static((2, 2, 1)))

    assert decoder.generate(RAGGED, Sampling(), Stop(12, tokens=())).tokens == expected
    assert decoder.metrics.summary().acceptance_length == 4


def test_a_window_changes_the_text() -> None:
    """Otherwise the tests above would show nothing."""
    texts = {tuple(generate(build("mistral", sliding_window=w), RAGGED[2], 12, Sampling())) for w in (3, 6, None)}

    assert len(texts) == 3


def test_texts_in_float32_differ_at_near_ties_alone(record_property: Callable[[str, object], None]) -> None:
    """A difference is allowed where plain decoding's best two scores are within 1e-5; such places are shown."""
    ties = []
    for kind in ("llama", "gemma", "gpt2"):
        model = build(kind, seed=6, dtype=torch.float32)
        decoder = Decoder(SmallModel(model), Target(model), Static((3, 2, 1, 1)))
        for prompt, said in zip(RAGGED, decoder.generate(RAGGED, Sampling(), Stop(40, tokens=())).tokens, strict=True):
            plain = decode_plainly(model, tuple(prompt), Sampling(), 40)
            if said == plain:
                continue
            place = next(i for i, (one, other) in enumerate(zip(said, plain, strict=True)) if one != other)
            scores = model(torch.tensor([[*prompt, *plain[:place]]])).logits[0, -1]
            ties.append({"model": kind, "token": place, "gap": float(scores.topk(2).values.diff().abs())})
            record_property("places where float32 texts differ, of 15 texts", ties[-1])

    assert all(tie["gap"] < 1e-5 for tie in ties)
