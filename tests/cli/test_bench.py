"""`specdec bench`, called as a program is."""

import json
import re
from io import StringIO
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from specdec.bench.columns import HEADINGS
from specdec.bench.entry import Speculative, check_thread_clock
from specdec.cli import benchmark, parts
from specdec.cli.main import app
from specdec.errors import ModelError, OptionError
from specdec.plugins import Entry, Plugins, plugins
from tests.bench.runs import run, task
from tests.cli.conftest import usual


@pytest.fixture
def bench(target, tmp_path):
    """Run on a toy target and two prompts."""
    file = tmp_path / "mine.jsonl"
    lines = [{"question_id": number, "turns": [text]} for number, text in ((5, "abcabcabc"), (6, "héllo abc abc"))]
    file.write_text("\n".join(map(json.dumps, lines)))

    def run(*args):
        given = usual("--target", target, "--prompts", file, "--max-tokens", 10, "--repeat", 1)(args)
        return CliRunner().invoke(app, ["bench", *(str(arg) for arg in given)])

    return run


def test_all_outputs_of_one_run(bench, draft, tmp_path):
    out = {kind: tmp_path / f"out.{kind}" for kind in ("json", "png", "html")}
    files = ["--json", out["json"], "--plot", out["png"], "--html", out["html"], "--answers", tmp_path / "answers"]
    asked = f"none,ngram,small_model:{draft},hf,hf-assisted:{draft},hf-lookup:tokens=3"
    result = bench("--drafters", asked, "--policy", "chain:length=2", "--temperature", "0,1", *files)
    read = json.loads(out["json"].read_text())

    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    assert "mine, temperature 1: 2 prompts, up to 10 tokens each, 1 time" in result.stdout
    assert [row["drafter"] for row in read["rows"]] == asked.split(",") * 2
    assert (read["machine"]["clock"], read["machine"]["dtype"]) == ("wall", "float32")
    assert (read["policy"], read["rule"], read["plan"]["temperatures"]) == ("chain:length=2", "match", [0, 1])
    assert [row["equal"] for row in read["rows"]] == [True] * 6 + [True] * 3 + [None] * 3
    assert all((row["speedup"] is None) == (row["equal"] is None) for row in read["rows"])
    assert all(max(row["acceptance_by_position"], default=0) <= 1 for row in read["rows"])
    assert [row["parameters"] > 0 for row in read["rows"][:6]] == [False, False, True, False, True, False]
    assert out["png"].read_bytes().startswith(b"\x89PNG")
    assert all(f"{row['tokens_per_second']:.1f}" in out["html"].read_text() for row in read["rows"])
    assert len(list((tmp_path / "answers").glob("*.jsonl"))) == 12


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_a_narrow_terminal_shows_whole_columns_and_every_drafters_name(bench, draft, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    drafters = f"ngram:longest=2,small_model:{draft}"
    lines = bench("--drafters", drafters).stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(" drafter"))
    end = next(number for number in range(start, len(lines)) if not lines[number].startswith(" "))
    shown = [name for name in HEADINGS if name in lines[start]]
    names = "".join(line.split("  ")[0].strip() for line in lines[start + 1 : end] if not line.startswith("   "))
    left = [line for line in lines if line.startswith("in a wider terminal: ")]

    leads = next(number for number, line in enumerate(lines) if line.startswith("lead, "))

    assert all(len(line.rstrip()) <= width for line in [*lines[start:end], *lines[leads : leads + 4]])
    assert re.search(r"\d\.\d\d( \(.* to .*\))? +\d\.\d\d( \(.* to .*\))?$", lines[leads + 2].rstrip())
    assert names.replace(" ", "").startswith("nonengram:longest=2")
    assert shown == list(HEADINGS[: len(shown)])
    assert left == ([] if shown == list(HEADINGS) else ["in a wider terminal: " + ", ".join(HEADINGS[len(shown) :])])


def test_an_interrupt_keeps_what_was_measured(bench, monkeypatch, tmp_path):
    """Of each prompt that all have decoded; with nothing measured there is nothing to keep."""
    decode, calls = Speculative.decode, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == last:
            raise KeyboardInterrupt
        return decode(*args)

    monkeypatch.setattr(Speculative, "decode", interrupted)
    for last, kept in ((4 + 1, None), (4 + 2, None), (4 + 4, 1), (4 + 5, 2)):  # after a warm-up of 2 each
        calls.clear()
        out = tmp_path / f"{last}.json"
        result = bench("--drafters", "ngram", "--repeat", 2, "--json", out)

        assert result.exit_code == 130
        assert out.exists() == (kept is not None)
        if kept:
            assert "interrupted: the figures cover only what was measured before" in result.stdout
            read = json.loads(out.read_text())
            assert read["interrupted"]
            assert [(row["drafter"], len(row["runs"])) for row in read["rows"]] == [("none", kept), ("ngram", kept)]


def test_what_takes_long_says_so_first(capsys):
    for seconds in (1.0, 50.0, 500.0):
        benchmark.estimate(60, seconds)

    assert capsys.readouterr().err == (
        "60 texts, in at most about 50 seconds; Ctrl-C ends it with what was measured by then\n"
        "60 texts, in at most about 8 minutes; Ctrl-C ends it with what was measured by then\n"
    )


def test_a_lossy_rule_is_refused_a_speed_up_and_the_exit_code_says_so(bench, draft, tmp_path):
    out = tmp_path / "out.json"
    rule = ["--rule", "typical:threshold=0.001,alpha=0.001", "--temperature", 1, "--max-tokens", 40]
    result = bench("--drafters", f"small_model:{draft}", "--policy", "static:levels=8x8", *rule, "--json", out)
    plain, row = json.loads(out.read_text())["rows"]
    told = " ".join(result.stdout.split())

    assert result.exit_code == 1
    assert (plain["equal"], row["equal"], row["speedup"], row["speedup_low"]) == (True, False, None, None)
    assert "refused" in result.stdout
    assert re.search(r"question [56] of mine, temperature 1, seed [01]: from new token \d+ on", told)


def test_tuning_is_shown_and_used(bench, tmp_path, monkeypatch):
    monkeypatch.setattr("specdec.cli.benchmark.CANDIDATES", ("chain:length=1", "chain:length=2"))
    out, tuning = tmp_path / "out.json", tmp_path / "mine.jsonl"
    result = bench("--drafters", "ngram", "--tune", "--tuning-prompts", tuning, "--json", out)
    read = json.loads(out.read_text())
    chosen = [trial["policy"] for trial in read["trials"] if trial["chosen"]]

    assert result.exit_code == 0, result.stderr
    assert "shapes for ngram" in result.stdout
    assert read["policy"] == "tuned"
    assert [row["policy"] for row in read["rows"]] == [None, *chosen]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--drafters", "ngram,nobody"], "no drafter is called 'nobody'; there are: .*ngram"),
        (["--drafters", "small_model"], "drafter 'small_model' needs 'path'"),
        (["--drafters", "ngram,ngram"], "each drafter once, got 'ngram' twice"),
        (["--drafters", "hf:somewhere"], "expected hf without a path, got 'hf:somewhere'"),
        (["--drafters", "hf-assisted"], "expected hf-assisted:PATH, got 'hf-assisted'"),
        (["--drafters", "hf-lookup:n=3"], "expected hf-lookup without the option 'n'"),
        (["--prompts", "poems"], "a file of questions or a set of prompts, got 'poems'"),
        (["--policy", "what"], "no policy is called 'what'"),
        (["--rule", "what"], "no rule is called 'what'"),
        (["--temperature", "warm"], "temperatures such as 0,1, got 'warm'"),
        (["--temperature", "0,0"], "different temperatures"),
        (["--repeat", "0"], "repeats of at least 1, got 0"),
        (["--max-tokens", "1000"], "fit the target's 256 positions"),
        (["--plot", "picture.gif"], "ends in .png, .svg, .pdf, got 'picture.gif'"),
        (["--plot", "a.svg", "--html", "./a.svg"], "a file of its own for each output, got 'a.svg' twice"),
        (["--json", "/not/there/out.json"], "a file in a folder that exists, got '/not/there/out.json'"),
    ],
)
def test_errors_are_one_line_before_anything_runs(bench, args, message):
    result = bench(*args)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert re.search(message, result.stderr)


@pytest.mark.parametrize("threads", [1, 2])
def test_processor_time_is_that_of_one_thread_and_all_there_is(bench, monkeypatch, threads):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    result = bench("--cpu", "--drafters", "ngram")

    assert result.exit_code == (0 if threads == 1 else 2)
    assert ("clock: processor time" in result.stdout) == (threads == 1)
    assert ("expected one thread with --cpu, which counts the time of one, got 2" in result.stderr) == (threads == 2)


def test_processor_time_is_no_time_of_a_gpu():
    check_thread_clock(1, "cpu")
    with pytest.raises(OptionError, match=r"expected models on a CPU with --cpu, .* got cuda"):
        check_thread_clock(1, "cuda")


class TestModelsInstalledForTheTarget:
    @pytest.fixture
    def installed(self, monkeypatch):
        """What is installed besides drafters."""
        names, found = list[str](), [entry for entry in plugins().entries if entry.kind == "drafter"]

        def entries():
            return SimpleNamespace(entries=[*found, *(Entry("model", name, dict, "test") for name in names)])

        monkeypatch.setattr(parts, "plugins", entries)
        return names

    def test_they_are_filled_in(self, installed):
        installed += ["zoo", "zoo-moa", "zoo-moa-tli1", "zoo-draft", "other", "other-moa"]

        assert parts.read_drafter("moa", None).path == parts.read_drafter("moa", "zoo").path == "zoo-moa"
        assert parts.read_drafter("moa:tli=1", "zoo").path == "zoo-moa-tli1"
        assert parts.read_drafter("moa:cut=raw,tli=1", "zoo").path == "zoo-moa-tli1"
        assert parts.read_drafter("moa:/a:tli=1", "zoo").path == "/a"
        assert parts.read_drafter("small_model", "zoo").path == "zoo-draft"
        assert parts.read_drafter("moa:tli=1", "other").path == "other-moa"
        assert parts.read_drafter("moa", "/my/own").path is None
        assert parts.read_drafter("ngram", None).path is None

    def test_they_say_what_drafts_where_nothing_is_named(self, installed):
        installed += ["zoo", "zoo-moa", "other", "other-moa", "other-retrieval", "third"]
        assert [parts.usual_drafter(target) for target in (None, "other", "third")] == ["moa", "retrieval", "ngram"]

    @pytest.mark.parametrize("target", ["zoo", "other"])
    def test_one_that_is_missing_is_asked_for(self, installed, target):
        installed += [target, "third-moa"]
        with pytest.raises(ModelError, match=f"a model for 'moa', as moa:PATH; none is installed as '{target}-moa'"):
            parts.read_drafter("moa", target)


def test_progress_is_shown_in_a_terminal_with_the_time_left_and_nowhere_else():
    shown, hidden = StringIO(), StringIO()
    for file, terminal in ((shown, True), (hidden, False)):
        with benchmark.bar("comparing", 4, Console(file=file, force_terminal=terminal, width=120)) as on_run:
            on_run(run("ngram", task(), 1.0))
            on_run(run("moa", task(), 1.0))

    assert re.search(r"comparing.*2/4.*time left.*moa", shown.getvalue())
    assert hidden.getvalue() == ""


def test_generate_takes_options_of_a_drafter_too(target):
    args = ["generate", "abcabc", "--target", target, "--drafter", "ngram:longest=2", "--max-tokens", "6", "--json"]
    result = CliRunner().invoke(app, args)

    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["drafter"] == "ngram:longest=2"


def test_without_the_zoo_a_target_is_asked_for(bench, monkeypatch, tmp_path):
    monkeypatch.setattr(parts, "plugins", lambda: Plugins(group="none"))
    result = CliRunner().invoke(app, ["bench", "--drafters", "ngram", "--prompts", str(tmp_path / "mine.jsonl")])

    assert result.exit_code == 2
    assert "pip install ./contrib/specdec_zoo" in result.stderr


def test_the_zoo_is_compared_by_default(tmp_path):
    pytest.importorskip("specdec_zoo")
    out = tmp_path / "out.json"
    args = ["--limit", "1", "--max-tokens", "8", "--repeat", "1", "--json", str(out)]
    result = CliRunner().invoke(app, ["bench", *args])
    read = json.loads(out.read_text())

    assert result.exit_code == 0, result.stderr
    assert [(row["prompt_set"], row["drafter"]) for row in read["rows"]] == [
        (name, drafter)
        for name in ("functions", "classes", "tests", "all")
        for drafter in ("none", "moa", "ngram", "small_model")
    ]
    assert all(row["equal"] for row in read["rows"])
