"""No command overwrites an input, what it did not make, or what it made of other inputs."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import GenerationConfig
from typer.testing import CliRunner

from specdec import Decoder
from specdec.cli.main import app
from tests.cli.conftest import usual


def specdec(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps({"text": f"abc {number} xyz" * 3}) + "\n" for number in range(6)))
    return path


@pytest.fixture
def copy(target, tmp_path):
    """Copies of the target that a test may lose."""

    def copy(name):
        shutil.copytree(target, tmp_path / name)
        return tmp_path / name

    return copy


@pytest.fixture
def regenerate(target, data, tmp_path):
    def regenerate(*args, data=data, output=tmp_path / "own.jsonl", target=target):
        places = ["--data", data, "--output", output, "--target", target]
        return specdec("regenerate", *places, *usual("--max-tokens", 4, "--prompt-tokens", 3, "--batch", 2)(args))

    return regenerate


@pytest.fixture
def train(target, data, tmp_path):
    def train(*args, data=data, output=tmp_path / "head", target=target, method="moa"):
        places = ["--data", data, "--output", output, "--target", target]
        return specdec("train", method, *places, "--batch", 2, "--max-steps", 1, "--warmup", 0, *args)

    return train


@pytest.fixture
def bench(target, tmp_path):
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"turns": ["abc"]}) + "\n")

    def bench(*args, target=target):
        complete = usual("--drafters", "ngram", "--prompts", questions, "--max-tokens", 4, "--repeat", 1)
        return specdec("bench", "--target", target, *complete(args))

    return bench


def everything(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def refused(result, message):
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert message in result.stderr


@pytest.mark.parametrize("restart", [[], ["--restart"]])
def test_inputs_stay_as_they_are(train, regenerate, bench, copy, data, tmp_path, restart):
    model, questions = copy("q2"), tmp_path / "questions.jsonl"
    (tmp_path / "link").symlink_to(model)
    (model / "own.txt").write_text("a text")
    before = everything(tmp_path)
    message = "apart from the inputs"
    refused(regenerate(*restart, output=data), message)
    refused(regenerate(*restart, output=model / "model.safetensors", target=model), message)
    refused(train(*restart, output=model, target=model), message)
    refused(train(*restart, output=tmp_path / "link", target=model), message)
    refused(train(*restart, output=model / "head", target=model), message)
    refused(train(*restart, output=tmp_path, data=data), message)
    refused(train(*restart, output=model, data=model / "own.txt"), message)
    refused(train(*restart, "--prompts", model / "own.txt", output=model), message)
    for output in ("--json", "--html"):
        refused(bench(*restart, output, questions), message)
        refused(bench(*restart, output, model / "config.json", target=model), message)
    refused(bench(*restart, "--answers", model, "--drafters", f"small_model:{model}"), message)
    refused(bench(*restart, "--json", tmp_path / "one", "--html", tmp_path / "one"), "a file of its own for each")
    refused(regenerate(*restart, "--drafter", f"small_model:{model}", output=model / "out.jsonl"), message)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("restart", [[], ["--restart"]])
def test_what_others_made_stays_as_it_is(train, regenerate, bench, copy, tmp_path, restart):
    model, file = copy("q2"), tmp_path / "notes.txt"
    file.write_text("the user's")
    before = everything(tmp_path)
    for result in (
        train(*restart, output=model),
        regenerate(*restart, output=file),
        bench(*restart, "--json", file),
        bench(*restart, "--answers", model),
    ):
        refused(result, "choose another name")
    assert everything(tmp_path) == before


def test_a_run_is_not_continued_with_another_target(train, regenerate, bench, copy, draft, target, tmp_path):
    """Of the same shapes, in a folder of the same name."""
    model, out = copy("q2"), tmp_path / "out.json"
    assert train(target=model).exit_code == 0
    assert regenerate(target=model).exit_code == 0
    assert bench("--json", out, target=model).exit_code == 0
    shutil.rmtree(model)
    shutil.copytree(draft, model)
    before = everything(tmp_path)
    for result in (train(target=model), regenerate(target=model), bench("--json", out, target=model)):
        refused(result, "expected target '")
    assert everything(tmp_path) == before
    for result in (
        train("--restart", target=model),
        regenerate("--restart", target=model),
        bench("--restart", "--json", out, target=model),
    ):
        assert result.exit_code == 0, result.stderr
    after = everything(tmp_path)
    for name in ("head/model.safetensors", "own.jsonl"):
        assert before[str(tmp_path / name)] != after[str(tmp_path / name)]


@pytest.mark.parametrize(
    ("options", "name"),
    [(["--temperature", 1], "temperature"), (["--seed", 3], "seed"), (["--max-tokens", 5], "max_tokens")],
)
def test_answers_with_other_options_are_not_mixed(regenerate, tmp_path, options, name):
    assert regenerate().exit_code == 0
    written = (tmp_path / "own.jsonl").read_bytes()
    refused(regenerate(*options), f"expected {name} ")
    assert regenerate("--drafter", "ngram", "--batch", 3).exit_code == 0
    assert (tmp_path / "own.jsonl").read_bytes() == written


def test_answers_to_other_prompts_are_not_mixed(regenerate, data, tmp_path):
    assert regenerate().exit_code == 0
    data.write_text(data.read_text().replace("abc 0", "xyz 0"))
    refused(regenerate(), "expected data '")


def test_a_stopped_regeneration_is_continued(regenerate, tmp_path, monkeypatch):
    assert regenerate(output=tmp_path / "whole.jsonl").exit_code == 0
    generate, calls = Decoder.generate, []

    def stopped(*args, **options):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return generate(*args, **options)

    monkeypatch.setattr(Decoder, "generate", stopped)
    assert regenerate().exit_code != 0
    assert not (tmp_path / "own.jsonl").exists()
    assert regenerate("--seed", 1).exit_code == 2
    assert regenerate().exit_code == 0
    assert len(calls) == 4
    assert (tmp_path / "own.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not (tmp_path / "own.jsonl.partial").exists()


def test_measuring_again_replaces_the_figures(bench, tmp_path):
    out = tmp_path / "out.json"
    assert bench("--json", out, "--answers", tmp_path / "answers").exit_code == 0
    first = out.read_bytes()
    assert bench("--json", out, "--answers", tmp_path / "answers").exit_code == 0
    assert out.read_bytes() != first
    second = out.read_bytes()
    refused(bench("--json", out, "--seed", 1), "expected seed 0")
    assert out.read_bytes() == second


def test_missing_folders_are_made_or_refused_first(train, regenerate, bench, tmp_path, monkeypatch):
    missing = tmp_path / "not" / "there"
    refused(regenerate(output=missing / "own.jsonl"), "in a folder that exists")
    refused(bench("--json", missing / "out.json"), "in a folder that exists")
    assert train(output=missing / "head").exit_code == 0
    assert all(torch.isfinite(weight).all() for weight in load_file(missing / "head/model.safetensors").values())


def test_answers_follow_the_targets_generation_config(regenerate, copy, tmp_path):
    """As those of `generate` do; options count as in one made for them."""
    answers = []
    for name, options, penalty in (("plain", [], None), ("bent", [], 5.0), ("warm", ["--temperature", 0.9], 5.0)):
        folder, output = copy(name), tmp_path / f"{name}.jsonl"
        if penalty:
            GenerationConfig(repetition_penalty=penalty).save_pretrained(folder)
        assert regenerate(*options, output=output, target=folder).exit_code == 0
        settings = json.loads((tmp_path / f"{name}.jsonl.specdec.json").read_text())["settings"]
        assert settings["repetition_penalty"] == (penalty or 1.0)
        answers.append(output.read_text())

    assert len(set(answers)) == 3


def test_what_measures_nothing_is_refused(train):
    refused(train("--eval-steps", 2), "expected --prompts with --eval-steps, got --eval-steps 2 alone")
