"""`specdec generate`, called as a program is: arguments in, streams and an exit code out."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from typing import ClassVar

import pytest
import torch
from transformers import GenerationConfig
from typer.testing import CliRunner

from specdec import Decoder, Sampling, Stop, Target, hookimpl, load_drafter
from specdec.cli import parts
from specdec.cli.main import app
from specdec.drafters import Ngram
from specdec.plugins import KINDS, Plugins
from tests.cli.conftest import save, usual

PROMPT = "abcabc héllo abc"


def specdec(*args, given=None):
    return CliRunner().invoke(app, [str(arg) for arg in args], input=given, prog_name="specdec")


def figures(*args, given=None):
    result = specdec("generate", *args, "--json", given=given)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def generate(target):
    complete = usual("--target", target, "--max-tokens", 12, "--temperature", 0)
    return lambda *args, **kwargs: specdec("generate", PROMPT, *complete(args), **kwargs)


def test_the_text_goes_to_standard_output_and_the_figures_to_standard_error(generate, target):
    result = generate()
    expected = Decoder(Ngram(), Target.from_pretrained(target)).generate(PROMPT, stop=Stop(max_tokens=12))

    assert result.exit_code == 0
    assert result.stdout == expected.text[0] + "\n"
    assert "tokens/s, acceptance length" in result.stderr
    assert f"12 tokens in {expected.metrics.steps} steps\n" in result.stderr  # no legend of colours


def test_json_is_one_object(target, draft):
    drafter = f"small_model:{draft}"
    said = figures(PROMPT, "--target", target, "--drafter", drafter, "--policy", "static:levels=2x1", "--max-tokens", 9)

    assert list(said) == [
        *("text", "tokens", "steps", "acceptance_length", "tokens_per_second", "drafter", "policy", "rule", "seed")
    ]
    assert (said["tokens"], said["drafter"], said["policy"], said["rule"]) == (9, drafter, "static:levels=2x1", "match")
    assert said["acceptance_length"] == said["tokens"] / said["steps"]


def test_compare_says_whether_the_texts_are_equal(target, generate):
    options = ["--temperature", 1, "--top-k", 20, "--seed", 5, "--compare"]
    said = figures(PROMPT, "--target", target, "--max-tokens", 12, *options)
    shown = generate(*options).stderr

    assert said["equal"] is True
    assert said["speedup"] == pytest.approx(said["tokens_per_second"] / said["plain_tokens_per_second"])
    assert "the texts are equal" in shown
    assert "speed-up" in shown


def test_a_target_may_be_served_in_this_process(target, generate):
    result = generate("--compare", "--remote", "local:", "--drafter", "ngram")

    assert "the texts are equal" in result.stderr


def test_all_options_reach_the_target(target):
    options = {"temperature": 0.9, "top-p": 0.9, "top-k": 30, "min-p": 0.01, "repetition-penalty": 1.2, "seed": 8}
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    said = figures(PROMPT, "--target", target, "--max-tokens", 20, "--stop", "a", "--stop", "b", *flags)
    sampling = Sampling(**{name.replace("-", "_"): value for name, value in options.items()})
    decoder = Decoder(Ngram(), Target.from_pretrained(target))
    expected = decoder.generate(PROMPT, sampling, Stop(20, strings=("a", "b")))

    assert said["text"] == expected.text[0]
    assert said["tokens"] == len(expected.tokens[0])
    assert said["seed"] == 8


def test_other_options_of_generate_reach_the_target_too(target):
    flags = ["--sampling", "no_repeat_ngram_size=2", "--sampling", "suppress_tokens=[87, 99]", "--temperature", 1]
    said = figures(PROMPT, "--target", target, "--max-tokens", 20, *flags)
    sampling = Sampling(1.0, no_repeat_ngram_size=2, suppress_tokens=[87, 99])
    decoder = Decoder(Ngram(), Target.from_pretrained(target))

    assert said["text"] == decoder.generate(PROMPT, sampling, Stop(20)).text[0]


def test_a_models_generation_config_is_followed(tmp_path):
    folder = save(tmp_path, seed=1)
    config = GenerationConfig(do_sample=True, temperature=0.8, top_k=5, repetition_penalty=1.5)
    config.save_pretrained(folder)
    decoder = Decoder(Ngram(), Target.from_pretrained(folder))
    own, greedy = (
        decoder.generate(PROMPT, sampling, Stop(20)).text[0]
        for sampling in (Sampling.of(config), Sampling.of(config, temperature=0.0))
    )

    assert figures(PROMPT, "--target", folder, "--max-tokens", 20)["text"] == own
    assert figures(PROMPT, "--target", folder, "--max-tokens", 20, "--temperature", 0)["text"] == greedy


def test_the_prompt_may_come_from_standard_input(target):
    options = ["--target", target, "--max-tokens", 5]

    assert figures(*options, given=PROMPT + "\n")["text"] == figures(PROMPT, *options)["text"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--temperature", "-1"], "temperature of at least 0 .* got -1"),
        (["--temperature", "1", "--top-p", "0"], "top_p above 0 and at most 1, got 0"),
        (["--sampling", "beams=3"], "one of the names bad_words_ids, .*; got 'beams=3'"),
        (["--sampling", "min_length=x"], "as JSON writes it, .* got 'min_length=x'"),
        (["--sampling", "bad_words_ids=[[]]"], "lists of token ids, got"),
        (["--top-k", "3", "--sampling", "top_k=4"], "expected top_k once"),
        (["--max-tokens", "1000"], "fit the target's 256 positions"),
        (["--max-tokens", "0"], "max_tokens of at least 1, got 0"),
        (["--drafter", "nobody"], "no drafter is called 'nobody'; there are: .*ngram"),
        (["--drafter", "small_model"], "drafter 'small_model' needs 'path'"),
        (["--drafter", "small_model:/not/there"], "no model can be loaded from '/not/there': there is no such folder"),
        (["--policy", "chain:len=2"], "policy 'chain' has no option 'len'"),
        (["--policy", "sequoia:size=2.5"], "expected whole numbers for size and depth, got 2.5 and 6"),
        (["--policy", "sequoia:size=many"], "expected whole numbers for size and depth, got 'many' and 6"),
        (["--rule", "nothing"], "no rule is called 'nothing'"),
        (["--target", "/not/there"], r"no (model|tokenizer) can be loaded from '/not/there': there is no such folder"),
        (["--stop", ""], "a value for --stop, got ''"),
        (["--device", "banana"], "a device that is here, cpu.*, got 'banana'"),
        (["--device", "cuda:99"], "a device that is here, cpu.*, got 'cuda:99'"),
        (
            ["--verifier", "local:depth=3", "--device", "cpu"],
            "the verifier local only, got --device cpu with local:depth=3;",
        ),
        (
            ["--verifier", "nothing", "--weights", "full"],
            "own options are written after its name, as VERIFIER:key=value",
        ),
        (["--verifier", "nothing"], "no verifier is called 'nothing'; there are: .*local"),
        (["--verifier", "local:depth=3"], "verifier 'local' has no option 'depth'"),
        (["--max-tokens", "many"], "'--max-tokens': .*, got 'many'"),
        (["--tokens", "3"], "no such option: --tokens"),
        (["--seed"], "'--seed' requires an argument"),
    ],
)
def test_errors_are_one_line(generate, args, message):
    result = generate(*args)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert re.search(message, result.stderr)


def test_a_verifier_may_be_named(target, monkeypatch):
    args = [PROMPT, "--target", target, "--max-tokens", 5]
    mine = Plugins()
    mine.add(Brought(), "brought")
    monkeypatch.setattr("specdec.plugins.plugins", lambda: mine)
    monkeypatch.setattr(Brought, "made", [])

    assert figures(*args, "--verifier", "brought:bucket=7")["text"] == figures(*args)["text"]
    assert Brought.made == [7]


class Brought:
    made: ClassVar[list[int]] = []

    @hookimpl
    def register_verifiers(self, register):
        def make(path, rule, bucket):
            self.made.append(bucket)
            return Target.from_pretrained(path, rule)

        register("brought", make)


def test_a_prompt_that_is_not_utf_8_is_an_error():
    for args, given in ((["generate"], b"def \xff("), (["generate", "def \udcff("], None)):
        result = specdec(*args, given=given)

        assert result.exit_code == 2
        assert re.fullmatch("specdec: expected a prompt of UTF-8, got .* in it\n", result.stderr)


def test_what_needs_no_model_needs_no_torch():
    """Help, the version and misspelt options take a moment."""
    program = "import sys; from specdec.cli.main import app; assert not {'torch', 'transformers'} & set(sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_without_a_command_there_is_help():
    result = specdec()

    assert result.exit_code == 2
    assert "generate" in result.stdout
    assert result.stderr == "specdec: expected a command (see specdec --help)\n"


def test_text_that_the_terminal_has_no_letters_for_is_escaped(target):
    args = ["generate", "é", "--target", target, "--max-tokens", "12", "--temperature", "1"]
    command = [sys.executable, "-m", "specdec.cli.main", *args]
    result = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"}, check=False)

    assert result.returncode == 0, result.stderr
    assert b"Traceback" not in result.stderr


def test_an_empty_prompt_is_an_error(target):
    for given in ("", "\n"):
        result = specdec("generate", "--target", target, given=given)

        assert result.exit_code == 2
        assert "expected a prompt of at least one character" in result.stderr


def test_without_the_zoo_a_target_is_asked_for(monkeypatch):
    monkeypatch.setattr(parts, "plugins", lambda: Plugins(group="none"))
    result = specdec("generate", PROMPT)

    assert result.exit_code == 2
    assert "pip install ./contrib/specdec_zoo" in result.stderr


@pytest.mark.parametrize(
    ("asked", "limit", "chosen"), [(None, parts.SMALL, [1]), ("2", parts.SMALL, []), (None, 1000, [])]
)
def test_a_small_model_runs_on_one_thread(target, monkeypatch, asked, limit, chosen):
    """Unless the environment says how many there are to be; larger ones are shared."""
    threads = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(parts, "SMALL", limit)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    parts.load_target(target, "match", "cpu")
    assert threads == chosen


def test_plugins_as_a_table_and_as_json():
    listed = json.loads(specdec("plugins", "--json").stdout)
    table = specdec("plugins").stdout

    assert listed["policy"]["dynamic"] == "specdec-kit"
    assert all(name in table for kind in listed.values() for name in kind)
    assert list(listed) == list(KINDS)


def test_help_names_every_option():
    text = specdec("generate", "--help").stdout

    assert "--repetition-penalty" in text
    assert sys.modules["specdec.cli.generate"].generate.__doc__.splitlines()[0] in text


def test_the_version_is_that_of_the_distribution():
    assert specdec("--version").stdout == f"specdec {version('specdec-kit')}\n"


@pytest.mark.parametrize("spec", ["ngram", "none"])
def test_the_policy_learns_unless_another_is_named_or_texts_depend_on_trees(target, spec):
    args = [PROMPT, "--target", target, "--drafter", spec, "--max-tokens", 2]

    assert figures(*args)["policy"] == "auto"
    assert figures(*args, "--rule", "rejection")["policy"] == load_drafter(spec).policy
    assert figures(*args, "--policy", "chain:length=3")["policy"] == "chain:length=3"
