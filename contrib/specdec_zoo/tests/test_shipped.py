"""What ships inside the package."""

import json
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import specdec_zoo
from specdec_zoo import corpus


@pytest.fixture(params=specdec_zoo.MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_model_continues_code(name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(specdec_zoo.path(name))
    model = AutoModelForCausalLM.from_pretrained(specdec_zoo.path(name))
    assert model.dtype == torch.float32
    assert model.config.use_cache
    ids = tokenizer("class Walker(Base):\n    def walk(", return_tensors="pt").input_ids
    assert tokenizer.decode(model(ids).logits[0, -1].argmax()) == "self"


def test_model_is_small_and_has_a_card(name: str) -> None:
    folder = specdec_zoo.path(name)
    assert (folder / "model.safetensors").stat().st_size < 45_000_000
    assert "nats per token" in (folder / "README.md").read_text(encoding="utf-8")


def test_models_share_one_tokenizer() -> None:
    target, draft = (AutoTokenizer.from_pretrained(specdec_zoo.path(name)) for name in specdec_zoo.MODELS)
    assert target.get_vocab() == draft.get_vocab()
    assert len(target) == 4096


def test_tokenizer_gives_back_python_source(name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(specdec_zoo.path(name))
    source = 'def f(x):\n\treturn {"é": x ** 2}  # ∀\n\n\n    \n'
    assert tokenizer.decode(tokenizer(source)["input_ids"]) == source


def test_prompts_are_distinct() -> None:
    sets = {name: specdec_zoo.prompts(name) for name in specdec_zoo.PROMPTS}
    assert {name: len(found) for name, found in sets.items()} == {
        "functions": 80,
        "classes": 80,
        "tests": 80,
        "tuning": 40,
    }
    everything = [prompt for found in sets.values() for prompt in found]
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize("name", specdec_zoo.PROMPTS)
def test_prompts_come_from_held_out_files(name: str) -> None:
    file = specdec_zoo.path("target").parents[1] / "prompts" / f"{name}.jsonl"
    sources = [json.loads(line)["source"] for line in file.read_text(encoding="utf-8").splitlines()]
    assert all(corpus.stable_hash(source) % 100 < 2 for source in sources)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="no model is named 'giant'; there are: target, draft"):
        specdec_zoo.path("giant")
    with pytest.raises(ValueError, match="no set of prompts is named 'poems'"):
        specdec_zoo.prompts("poems")


def test_import_needs_no_torch() -> None:
    code = "import sys, specdec_zoo; specdec_zoo.prompts('tests'); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_held_out_files_stay_the_same() -> None:
    assert corpus.stable_hash("json/decoder.py") % 100 == 93
