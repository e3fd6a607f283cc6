"""Methods by targets: a head that drafts losslessly, or one line that says for which targets there are heads."""

import json

import pytest
import torch
from transformers import MambaConfig, MambaForCausalLM
from typer.testing import CliRunner

from specdec.cli.main import app
from specdec.errors import UnsupportedModel
from specdec.plugins import plugins
from specdec.training import load_method
from tests.toys import build, byte_tokenizer, tiny

METHODS = [entry.name for entry in plugins().entries if entry.kind == "method"]
OF_FAMILIES = [name for name in METHODS if name in ("moa", "eagle", "eagle3")]
SHORT = ("--max-tokens", 8)
OTHERS = ("gpt2", "gemma", "gemma3_text", "gpt_neox", "cohere", "phi3", "granite", "opt", "olmo2", "starcoder2")


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("method", OF_FAMILIES)
def test_heads_are_refused_for_other_targets(method: str, kind: str) -> None:
    with pytest.raises(UnsupportedModel, match=f"expected a target of llama, .*, got {kind}"):
        load_method(method, build(kind, dtype=torch.float32))


@pytest.mark.parametrize("kind", ["gpt2", "gemma3_text"])
@pytest.mark.parametrize("method", METHODS)
def test_a_line_or_a_head(method: str, kind: str, tmp_path) -> None:
    result = train(build(kind, dtype=torch.float32, vocab_size=109), method, tmp_path)
    if method in OF_FAMILIES:
        assert result.exit_code == 2
        assert result.stderr.startswith("specdec: expected a target of llama")
        assert not (tmp_path / "head").exists()
        return
    assert result.exit_code == 0, result.stderr
    said = run("generate", "abc", "--target", tmp_path / "target", "--drafter", f"{method}:{tmp_path / 'head'}", *SHORT)
    assert said.exit_code == 0, said.stderr


@pytest.mark.parametrize("method", METHODS)
def test_what_cannot_be_decoded_with_is_refused_before_training(method: str, tmp_path) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "vocab_size": 109}
    result = train(MambaForCausalLM(MambaConfig(**sizes)), method, tmp_path)
    assert result.exit_code == 2, result.output
    assert result.stderr.splitlines()[-1].startswith("specdec: expected a ")
    assert not (tmp_path / "head/specdec.json").exists()


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def train(model, method, folder):
    model.save_pretrained(folder / "target")
    byte_tokenizer().save_pretrained(folder / "target")
    (folder / "data.jsonl").write_text("".join(json.dumps({"text": f"abc {n} xyz"}) + "\n" for n in range(2)))
    places = ["--target", folder / "target", "--data", folder / "data.jsonl", "--output", folder / "head"]
    return run("train", method, *places, "--max-steps", 1, "--batch", 2)


def test_a_warm_up_for_long_runs_is_fitted_to_short_ones() -> None:
    for name, warmup in (("eagle", 2000), ("eagle3", 12_000)):
        schedule = load_method(name, tiny("llama")).recipe.schedule
        for steps in (1, 2, 100, 12_000, 200_000):
            risen = min(warmup, steps // 10)
            assert schedule.rate(risen, steps, steps) == schedule.peak
            assert all(schedule.rate(step, steps, steps) < schedule.peak for step in range(risen))
