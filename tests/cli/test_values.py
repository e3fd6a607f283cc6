"""Values that mean nothing are refused in one line, before anything is written."""

import json

import pytest
from typer.testing import CliRunner

from specdec.cli.main import app

GENERATE = ["generate", "abc", "--max-tokens", "2"]
BENCH = ["bench", "--max-tokens", "2", "--repeat", "1"]


@pytest.fixture
def train(tmp_path):
    (tmp_path / "data.jsonl").write_text(json.dumps({"text": "abc"}) + "\n")
    return ["train", "moa", "--data", str(tmp_path / "data.jsonl"), "--output", str(tmp_path / "head")]


def refused(args, target, message):
    args = args if "--target" in args else [*args, "--target", target]
    result = CliRunner().invoke(app, list(map(str, args)))
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert message in result.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--policy", "static:sampled=maybe"], "yes or no for 'sampled' of policy 'static', got 'maybe'"),
        (["--policy", "static:sampled=2"], "yes or no for 'sampled'"),
        (["--policy", "chain:length=true"], "a finite number for 'length' of policy 'chain', got True"),
        (["--policy", "adaptive:gain=nan"], "a finite number for 'gain'"),
        (["--policy", "adaptive:gain=-inf"], "a finite number for 'gain'"),
        (["--policy", "chain:length=1,length=2"], "each option once, got 'length' twice"),
        (["--policy", "chain:length="], "a value for 'length', got none"),
        (["--policy", "chain:"], "expected NAME[:PATH][:key=value,...], got 'chain:'"),
        (["--policy", ""], "a value for --policy, got ''"),
        (["--rule", "lenient:factor=nan"], "a finite number for 'factor'"),
        (["--drafter", ""], "a value for --drafter, got ''"),
        (["--drafter", "moa:"], "got 'moa:'"),
        (["--drafter", "moa: "], "got 'moa: '"),
        (["--drafter", "moa::tli=1"], "got 'moa::tli=1'"),
        (["--drafter", "moa:head:"], "got 'moa:head:'"),
        (["--drafter", "ngram:longest=2,longest=3"], "'longest' twice"),
        (["--target", ""], "a value for --target, got ''"),
        (["--target", " "], "a value for --target, got ' '"),
        (["--device", ""], "a value for --device"),
        (["--stop", ""], "a value for --stop"),
        (["--temperature", "nan"], "a finite number for --temperature, got nan"),
        (["--temperature", "inf"], "a finite number for --temperature, got inf"),
        (["--top-p", "0.9"], "a --temperature above 0 with --top-p, got --top-p 0.9 alone"),
        (["--top-k", "5"], "with --top-k"),
        (["--min-p", "0.1"], "with --min-p"),
        (
            ["--sampling", "no_repeat_ngram_size=3", "--sampling", "top_k=5"],
            "above 0 with --sampling, got --sampling top_k=5",
        ),
        (["--seed", "1", "--seed", "2"], "--seed once, got it 2 times"),
        (["--temperature", "1", "--temperature", "0"], "--temperature once"),
    ],
)
def test_of_generate(target, args, message):
    refused([*GENERATE, *args], target, message)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--temperature", "0,nan"], "temperature"),
        (["--drafters", ""], "a value for --drafters"),
        (["--drafters", "ngram,"], "expected NAME"),
        (["--prompts", ""], "a value for --prompts"),
        (["--json", ""], "a value for --json"),
        (["--policy", "tuned", "--policy", "chain"], "--policy once"),
    ],
)
def test_of_bench(target, args, message):
    refused([*BENCH, *args], target, message)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--rate", "nan"], "a finite number for --rate, got nan"),
        (["--rate", "-inf"], "a finite number for --rate, got -inf"),
        (["--rate", "-1"], "a rate above 0, got -1"),
        (["--rate", "0"], "a rate above 0, got 0"),
        (["--warmup", "-5"], "a warmup of at least 0, got -5"),
        (["--decay", "-5"], "a decay of at least 0, got -5"),
        (["--final", "2"], "a final of at least 0 and at most 1, got 2"),
        (["--clip", "-1"], "a clip of at least 0"),
        (["--scale", "-1"], "a scale of at least 0"),
        (["--epochs", "nan"], "a finite number for --epochs"),
        (["--epochs", "0"], "expected epochs above 0, got 0"),
        (["--target", ""], "a value for --target"),
        (["--data", ""], "a value for --data"),
        (["--output", ""], "a value for --output"),
        (["--batch", "2", "--batch", "4"], "--batch once, got it 2 times"),
        (["--tli", "1", "--tli", "1"], "--tli once"),
    ],
)
def test_of_train(train, target, tmp_path, args, message):
    train = train[:-2] if "--output" in args else train
    refused([*train, *args], target, message)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("method", ["eagle", "eagle3"])
@pytest.mark.parametrize("option", ["warmup", "rate", "weight-decay"])
def test_of_other_methods(train, target, method, option):
    refused(["train", method, *train[2:], f"--{option}", "-1"], target, f"expected a {option.replace('-', '_')} ")


def test_answers_that_do_not_fit_are_refused_before_training(train, target, tmp_path):
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(json.dumps({"turns": [text]}) + "\n" for text in ("a", "a" * 200)))
    message = "fit the target's 256 positions after question 2, which has 200 tokens, got 64"
    refused([*train, "--prompts", questions], target, message)
    assert not list(tmp_path.rglob("checkpoint-*"))


@pytest.mark.parametrize(("word", "drawn"), [("yes", True), ("No", False), ("1", True), ("off", False), ("TRUE", True)])
def test_words_for_yes_and_no(word, drawn):
    from specdec import load_policy

    assert load_policy(f"static:sampled={word}").sampled is drawn
    assert load_policy("static", sampled=word).sampled is drawn
