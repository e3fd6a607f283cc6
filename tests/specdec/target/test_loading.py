"""Models as they are loaded: on a CPU their attention does not copy keys for each query head, and says the same."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from specdec.target import Engine
from specdec.target.attention import GROUPED
from specdec.target.loading import load_model
from tests.specdec.target.readings import tree_inputs
from tests.toys import build, prompt

GROUPED_HEADS = ("llama", "qwen3", "mistral", "gemma")


def saved(kind: str, folder: Path) -> Path:
    build(kind, sliding_window=11 if kind == "mistral" else None).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", GROUPED_HEADS)
def test_trees_read_as_with_transformers_own_attention(kind: str, tmp_path: Path) -> None:
    engines = [Engine(load_model(saved(kind, tmp_path), **how)) for how in ({}, {"attn_implementation": "sdpa"})]
    assert [engine.config._attn_implementation for engine in engines] == [GROUPED, "sdpa"]
    parents = [[-1, *range(29)], [-1] + [0] * 9 + list(range(1, 21))]
    paths = [[0, 1, 2], [0, 1, 10]]

    said = []
    for engine in engines:
        slots = [engine.open(), engine.open()]
        for seed in (0, 2):
            tokens = [prompt(30, seed), prompt(30, seed + 1)]
            said.append(engine.read(slots, *tree_inputs(tokens, parents)).logits)
            for slot, path in zip(slots, paths, strict=True):
                engine.keep(slot, path)

    torch.testing.assert_close(said[:2], said[2:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", GROUPED_HEADS)
def test_such_a_model_generates_and_is_saved_as_any_other(kind: str, tmp_path: Path) -> None:
    model, inputs = load_model(saved(kind, tmp_path / "one")), torch.tensor([prompt(17)])
    model.save_pretrained(tmp_path / "two")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "two")
    assert plain.config._attn_implementation == "sdpa"

    texts = [each.generate(inputs, max_new_tokens=20, do_sample=False).tolist() for each in (model, plain)]

    assert texts[0] == texts[1]
    assert model(inputs).logits.dtype == torch.float64


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_half_precision_becomes_single_on_a_cpu(stored: torch.dtype, tmp_path: Path) -> None:
    build("llama", dtype=stored).save_pretrained(tmp_path)
    half = stored in (torch.float16, torch.bfloat16)

    assert load_model(tmp_path).dtype == (torch.float32 if half else stored)
    assert load_model(tmp_path, "cpu").dtype == (torch.float32 if half else stored)
    assert load_model(tmp_path, dtype=stored).dtype == stored
