"""`specdec train` and `specdec regenerate`, called as a program is."""

import inspect
import json
import re
from pathlib import Path

import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from specdec import Target, load_drafter
from specdec.cli import parts
from specdec.cli.main import app
from specdec.cli.methods import PASSED
from specdec.plugins import Plugins, plugins
from tests.cli.conftest import usual

USUAL = ["--batch", 2, "--max-steps", 2, "--log-steps", 1, "--epochs", 1]


def specdec(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture
def train(target, data, tmp_path):
    def train(*args, method="moa", data=data, output=tmp_path / "head"):
        places = ["--target", target, "--data", data, "--output", output]
        return specdec("train", method, *places, *usual(*USUAL)(args))

    return train


def test_a_head_that_drafts(train, target, tmp_path):
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(json.dumps({"turns": [text]}) + "\n" for text in ("abc", "xyz", "never asked")))
    result = train("--tli", 1, "--prompts", questions, "--eval-limit", 2, "--eval-steps", 1, "--eval-tokens", 4)
    lines = result.stdout.splitlines()

    assert result.exit_code == 0, result.stderr
    assert re.fullmatch(r"texts: 12, of \d+ tokens in all", lines[0])
    assert [line.partition(",")[0] for line in lines[1:-1]] == [
        *("training from the start", "step 1", "step 1", "step 2", "step 2")
    ]
    assert "loss" in lines[2]
    assert re.search("acceptance length of a chain [\\d.]+, of a tree", lines[3])
    head = load_drafter("moa", str(tmp_path / "head"), target=Target.from_pretrained(target))
    assert len(head.parts.layers) == 1
    said = specdec(
        "generate", "abc", *lines[-1].partition("specdec generate PROMPT ")[2].split(), "--max-tokens", 8, "--json"
    )
    assert said.exit_code == 0, said.stderr
    assert json.loads(said.stdout)["tokens"] == 8


def test_the_seed_makes_the_head(train, tmp_path):
    for name, options in (("a", ["--seed", 1]), ("b", ["--seed", 1]), ("c", ["--seed", 2])):
        assert train(*options, output=tmp_path / name).exit_code == 0
    one, other, different = (load_file(tmp_path / name / "model.safetensors") for name in "abc")

    assert all(one[name].equal(other[name]) for name in one)
    assert not all(one[name].equal(different[name]) for name in one)


def test_a_run_goes_on(train, tmp_path):
    assert train("--save-steps", 1).exit_code == 0
    assert train("--max-steps", 3).stdout.splitlines()[1] == "training continuing after step 2, 3 steps in all"
    assert (
        train("--max-steps", 3)
        .stdout.splitlines()[1]
        .startswith("nothing left to train: the run has taken all 3 steps")
    )
    assert train("--max-steps", 3, "--restart").stdout.splitlines()[1] == "training from the start, 3 steps in all"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tli", 1], "expected tli 0 as in the run in .*, got 1; --restart begins again"),
        (["--batch", 4], "expected batch 2 as in the run"),
        (["--max-length", 8], "expected data '[0-9a-f]{8}' as in the run"),
        (["--seed", 3], "expected seed 0 as in the run"),
    ],
)
def test_another_run_is_not_gone_on_with(train, options, message):
    assert train().exit_code == 0
    result = train(*options)

    assert result.exit_code == 2
    assert re.search(message, result.stderr)
    assert train(*options, "--restart").exit_code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tlii", 1], r"no option --tlii \(did you mean --tli\?\); those of moa are: --tli, --lsa, .*--block"),
        (["--epoch", 1], r"no option --epoch \(did you mean --epochs\?\); those of moa are"),
        (["--ownn", 1], r"there is no option --ownn; those of moa are"),
        (["--precision", "fp8"], "precision of fp32, bf16 or fp16, got 'fp8'"),
        (["--precision", "fp16"], "expected fp32 or bf16 without a GPU, got fp16"),
        (["--block", "square"], "blocks to be one of variable, whole, none, got 'square'"),
        (["--shortest", 9, "--longest", 3], "expected 1 <= shortest <= longest, got 9 and 3"),
        (["--sizes", "width=3"], "expected sizes as field=value, with fields .*head_dim.*, got 'width=3'"),
        (["--sizes", "cross_attention_intermediate_size=big"], "sizes as field=value, .*, got '.*=big'"),
        (["--tli", 7], "target layer inference with 0 to 1 layers, got 7"),
        (["--prompts", "nothing"], "a file of questions or a set of prompts, got 'nothing'"),
        (["--data", "/not/there.jsonl"], "a file to read at /not/there.jsonl"),
        (["--max-length", 1], "max_length of at least 2, got 1"),
    ],
)
def test_errors_are_one_line(train, tmp_path, monkeypatch, options, message):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = train(*options)

    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert re.search(message, result.stderr)
    assert not list(tmp_path.glob("head/*.safetensors"))


def test_a_file_in_the_place_of_the_output(train, data):
    assert re.search("a folder to write to, got the file", train(output=data).stderr)


def test_methods_that_are_not_there(train):
    assert re.search("no method is called 'nobody'; there are: .*moa", train(method="nobody").stderr)
    assert "named first: specdec train METHOD" in specdec("train", "--tli", 1, "moa").stderr


def test_a_malformed_line_stops_the_run_before_the_first_step(train, data, tmp_path):
    data.write_text(data.read_text() + '{"txt": "misspelt"}\n')
    stopped = train()
    skipped = train("--skip-malformed")

    assert stopped.exit_code == 2
    assert re.fullmatch(r"specdec: .*data.jsonl:13: expected 'messages', .*, got the keys \['txt'\]\n", stopped.stderr)
    assert stopped.stdout == ""
    assert skipped.exit_code == 0
    assert re.match(r"texts: 12, of \d+ tokens in all, 1 malformed line skipped\n", skipped.stdout)


def test_bf16_without_a_gpu_is_warned_of(train, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = train("--precision", "bf16", "--max-steps", 1)

    assert result.exit_code == 0
    assert result.stderr == "specdec: bf16 without a GPU may be far slower than fp32\n"


def test_without_the_zoo_a_target_is_asked_for(data, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "plugins", lambda: Plugins(group="none"))

    assert "expected --target" in specdec("train", "moa", "--data", data, "--output", tmp_path / "head").stderr


def test_without_the_extra_it_is_asked_for(train, monkeypatch):
    monkeypatch.setattr("specdec.cli.train.find_spec", lambda name: None if name == "tensorboard" else name)

    assert "pip install 'specdec-kit[train]'" in train().stderr


@pytest.mark.parametrize("method", [entry.name for entry in plugins().entries if entry.kind == "method"])
def test_help_lists_the_methods_options(method):
    shown = specdec("train", method, "--help").stdout
    factory = plugins().entry("method", method).factory
    options = [name for name in inspect.signature(factory).parameters if name not in PASSED]

    assert f"Options of {method}" in shown
    assert all(f"--{name.replace('_', '-')}" in shown for name in options)


def test_the_page_lists_the_options_of_moa():
    page = (Path(__file__).parents[2] / "docs/training.md").read_text("utf-8")
    rows = dict(re.findall(r"^\|`--([\w-]+)`\|([^|]*)\|", page, re.MULTILINE))
    taken = inspect.signature(plugins().entry("method", "moa").factory).parameters.values()
    defaults = {parameter.name: parameter.default for parameter in taken if parameter.name not in PASSED}

    assert list(rows) == [name.replace("_", "-") for name in defaults]
    assert [row.strip("`") for row in rows.values()] == [
        {True: "on", False: "off", "": ""}.get(value, str(value)) if isinstance(value, bool | str) else f"{value:g}"
        for value in defaults.values()
    ]


def test_regenerated_answers_are_trained_on(train, data, target, tmp_path):
    output = tmp_path / "own[bold].jsonl"
    asked = ["regenerate", "--data", data, "--output", output, "--target", target]
    asked += ["--max-tokens", 6, "--prompt-tokens", 4]
    result = specdec(*asked, "--batch", 5)
    whole = output.read_bytes()

    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        "12 prompts",
        f"the answers are in {output}; to train on them: specdec train METHOD --data {output} --output FOLDER "
        f"--target {target}",
    ]
    assert [sorted(json.loads(line)) for line in whole.splitlines()] == [["prompt", "response"]] * 12
    output.unlink()
    (tmp_path / f"{output.name}.partial").write_bytes(whole[: len(whole) // 2])
    assert specdec(*asked, "--batch", 5, "--drafter", "ngram").exit_code == 0
    assert output.read_bytes() == whole
    assert specdec(*asked, "--restart", "--temperature", 1).exit_code == 0
    assert output.read_bytes() != whole
    assert train(data=output).exit_code == 0


def test_what_regenerate_refuses(data, target, tmp_path):
    asked = ["regenerate", "--data", data, "--output", tmp_path / "own.jsonl", "--target", target]
    data.write_text(data.read_text() + "[]\n")

    assert re.search(r"data.jsonl:13: expected an object, got '\[\]'", specdec(*asked, "--max-tokens", 2).stderr)
    assert "leaves room for an answer of 256 tokens in the target's 256" in specdec(*asked).stderr
    skipped = specdec(*asked, "--max-tokens", 2, "--skip-malformed")
    assert skipped.stdout.startswith("12 prompts, 1 malformed line skipped\n")
