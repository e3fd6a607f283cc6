"""`specdec train` with several methods: each head is what it would have been alone."""

import json
import re
import shutil

import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from specdec import Target, load_drafter
from specdec.cli.main import app
from tests.cli.conftest import usual

USUAL = ["--batch", 2, "--max-steps", 4, "--log-steps", 1, "--epochs", 1]
HEADS = {
    "moa": "moa",
    "moa-tli1-lsano": "moa:tli=1,lsa=no",
    "fast": "eagle:rate=0.01,warmup=0,clip_value=0.001,name=fast",
    "eagle3-draft_vocab30": "eagle3:draft_vocab=30",
}
"""Names of folders, and methods: with other needs, schedules and bounds on gradients."""
SAME = {name: method for name, method in HEADS.items() if name != "fast"}
"""Those whose options leave it to a recipe how they are optimised."""


@pytest.fixture
def train(target, data, tmp_path):
    def train(*methods, options=(), output=tmp_path / "heads"):
        places = ["--target", target, "--data", data, "--output", output]
        args = ["train", *methods, *places, *usual(*USUAL)(options)]
        return CliRunner().invoke(app, [str(arg) for arg in args])

    return train


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize(
    ("heads", "recipe"), [(HEADS, ["--by-length"]), pytest.param(SAME, ["--recipe", "short"], marks=pytest.mark.slow)]
)
def test_heads_are_those_that_were_trained_alone(train, tmp_path, heads, recipe):
    options = ["--accumulate", 2, "--seed", 3, *recipe]
    assert train(*heads.values(), options=options).exit_code == 0
    for name, method in heads.items():
        alone = train(method.replace(",name=fast", ""), options=options, output=tmp_path / name)
        assert alone.exit_code == 0, alone.stderr

        assert same(weights(tmp_path / "heads" / name), weights(tmp_path / name))


def test_heads_start_from_heads(train, tmp_path):
    assert train("moa:tli=1", "eagle").exit_code == 0
    heads = tmp_path / "heads"
    again = train(f"moa:start={heads / 'moa-tli1'}", f"eagle:start={heads / 'eagle'}", output=tmp_path / "again")
    assert again.exit_code == 0, again.stderr
    for old, new in (("moa-tli1", "moa"), ("eagle", "eagle")):
        assert not same(weights(heads / old), weights(tmp_path / "again" / new))
        assert weights(heads / old).keys() == weights(tmp_path / "again" / new).keys()

    over = train(f"moa:start={heads / 'moa-tli1'}", "eagle", output=heads / "moa-tli1")
    assert over.exit_code == 2
    assert "apart from the inputs" in over.stderr


def test_a_run_continues_only_with_the_same_head_to_start_from(train, tmp_path):
    first, other = (tmp_path / name for name in ("first", "other"))
    assert train("eagle", output=first).exit_code == train("eagle", options=["--seed", 1], output=other).exit_code == 0
    shutil.copytree(first, tmp_path / "copy")
    assert train("eagle", options=["--start", first]).exit_code == 0
    assert train("eagle", options=["--start", tmp_path / "copy", "--max-steps", 6]).exit_code == 0
    changed = train("eagle", options=["--start", other])
    assert changed.exit_code == 2
    assert "start" in changed.stderr


def test_options_are_those_of_the_command_line(train, tmp_path):
    assert train("moa:tli=1,staircase=0", output=tmp_path / "spec").exit_code == 0
    assert train("moa", options=["--tli", 1, "--staircase", 0], output=tmp_path / "flags").exit_code == 0
    records = [json.loads((tmp_path / name / "specdec.json").read_text()) for name in ("spec", "flags")]

    assert same(weights(tmp_path / "spec"), weights(tmp_path / "flags"))
    assert records[0]["settings"] == records[1]["settings"]


def test_a_run_goes_on_in_any_order(train, tmp_path):
    options = ["--save-steps", 1, "--max-steps", 2]
    assert train("moa", "eagle", options=options).exit_code == 0
    again = train("eagle", "moa", options=["--save-steps", 1])
    assert train("eagle", "moa", output=tmp_path / "whole").exit_code == 0

    assert "training continuing after step 2, 4 steps in all" in again.stdout
    for name in ("moa", "eagle"):
        assert same(weights(tmp_path / "heads" / name), weights(tmp_path / "whole" / name))


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (["moa"], "expected .* as in the run in .*; --restart begins again"),
        (["moa", "eagle", "eagle3"], r"expected heads \['eagle \(eagle\)', 'moa \(moa\)'\] as in the run"),
        (["moa", "eagle:name=moa2"], r"expected heads \['eagle \(eagle\)', 'moa \(moa\)'\] as in the run"),
        (["moa:shortest=5,name=moa", "eagle"], "expected option shortest of moa 6 as in the run in .*, got 5"),
    ],
)
def test_other_heads_are_another_run(train, methods, message):
    assert train("moa", "eagle", options=["--max-steps", 1]).exit_code == 0
    result = train(*methods)

    assert result.exit_code == 2
    assert re.search(message, result.stderr)


def test_each_head_is_measured_and_says_how_it_is_used(train, target, tmp_path):
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"turns": ["abc"]}) + "\n")
    result = train("moa", "eagle3:draft_vocab=30,name=small", options=["--prompts", questions, "--eval-tokens", 4])
    lines = result.stdout.splitlines()

    assert result.exit_code == 0, result.stderr
    figures = "moa: loss {0}, moa: vocabulary {0}, moa: feature {0}, small: loss {0}, small: step 0 {0}"
    assert re.search(figures.format(r"[\d.e+-]+"), lines[2])
    assert re.search(r"moa: norm of the gradient [\d.]+, moa: rate 0, small: norm", lines[2])
    measured = r": moa: acceptance length of a chain [\d.]+, moa: of a tree [\d.]+, small: acceptance length"
    assert re.search(measured, lines[-3])
    for method, name, line in zip(["moa", "eagle3"], ["moa", "small"], lines[-2:], strict=True):
        assert line.endswith(f"--target {target} --drafter {method}:{tmp_path / 'heads' / name}")
        load_drafter(method, str(tmp_path / "heads" / name), target=Target.from_pretrained(target))


@pytest.mark.parametrize(
    ("methods", "options", "message"),
    [
        (["moa", "nobody"], [], "no method is called 'nobody'"),
        (["moa", "moa"], [], "heads of different names, got 'moa' twice; METHOD:name=NAME gives another"),
        (["moa:tlii=1", "eagle"], [], "options as moa:key=value,..., of tli, .*, name; got 'tlii'"),
        (["moa:tli=much", "eagle"], [], "'much'"),
        (["moa:lsa=perhaps"], [], "'perhaps'"),
        (["moa:name=x"], [], "options as moa:key=value,..., of tli, .*; got 'name'"),
        (["moa:folder:tli=1", "eagle"], [], "got 'folder'"),
        (["moa", "eagle:name=../x"], [], "a name that a head's folder can have in METHOD:name=NAME, got '../x'"),
        (["moa", "eagle:name=logs"], [], "a name that a head's folder can have .* got 'logs'"),
        (["moa", "eagle"], ["--tli", 1], "no option --tli.*; those of a method .* METHOD:key=value"),
        (["moa:tli=1"], ["--shortest", 1], "no option --shortest.*; those of a method .* METHOD:key=value"),
        (["moa"], ["--seed", 1, "eagle"], "all methods before other options, got 'eagle' after some"),
        (["moa"], ["--recipe", "long"], "a recipe of published or short, got 'long'"),
        (["moa"], ["--recipe", "short", "--rate", 0.1], "no rate with --recipe short, .*; got rate 0.1 for moa"),
        (["moa", "eagle:decay=9"], ["--recipe", "short"], "no decay with --recipe short, .*; got decay 9 for eagle"),
        (["moa:tli=9", "eagle"], [], "target layer inference with 0 to 1 layers, got 9"),
    ],
)
def test_errors_are_one_line(train, tmp_path, methods, options, message):
    result = train(*methods, options=options)

    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert re.search(message, result.stderr)
    assert not (tmp_path / "heads").exists()
