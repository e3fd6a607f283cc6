"""`specdec bench --split` and `--disconnect`, called as a program is."""

import json
import re

import pytest
from typer.testing import CliRunner

from specdec.cli.main import app
from tests.cli.conftest import usual


@pytest.fixture
def bench(target, tmp_path):
    """Run on a toy target and two prompts."""
    file = tmp_path / "mine.jsonl"
    lines = [{"question_id": number, "turns": [text]} for number, text in enumerate(("abcabcabc", "héllo abc abc"))]
    file.write_text("\n".join(map(json.dumps, lines)))

    def run(*args):
        given = usual("--target", target, "--prompts", file, "--drafters", "ngram")(args)
        return CliRunner().invoke(app, ["bench", *(str(arg) for arg in given)])

    return run


def split(tmp_path, *args):
    times = ("--pass-ms", 35, "--level-ms", 5, "--links", "5g,weak", "--max-tokens", 6)
    return ("--split", *times, "--tuning-prompts", tmp_path / "mine.jsonl", *args)


def test_the_same_command_prints_the_same_table_and_writes_it(bench, tmp_path):
    out, plot = tmp_path / "out.json", tmp_path / "out.png"
    first = bench(*split(tmp_path, "--json", out, "--plot", plot))
    second = bench(*split(tmp_path))

    assert first.exit_code == 0, first.stderr
    read = json.loads(out.read_text())
    assert first.stdout == second.stdout
    assert "a pass of the target: 35 ms; a level of each drafter: ngram 5 ms" in first.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert [(row["link"], row["role"]) for row in read["rows"]] == [
        (link, role)
        for link in ("5g", "weak")
        for role in ("streaming", "drafted on the server", "split", "split, burst")
    ]


def test_a_link_in_real_time_stands_beside_it(bench, tmp_path):
    out = tmp_path / "out.json"
    result = bench(*split(tmp_path, "--real", "5g", "--limit", 1, "--json", out))

    assert result.exit_code == 0, result.stderr
    real = json.loads(out.read_text())["real"]
    assert "5g, in real time" in result.stdout
    assert [(one["link"], one["role"], one["drafter"]) for one in real] == [
        ("5g", "split", "ngram"),
        ("5g", "split, burst", "ngram"),
    ]
    assert all(one["pass_ms"] >= 35 and one["measured"] > 0 < one["computed"] for one in real)


def test_what_is_said_alone(bench, draft, tmp_path):
    out = tmp_path / "out.json"
    result = bench("--disconnect", "--drafters", f"small_model:{draft},ngram", "--temperature", 0, "--json", out)

    assert result.exit_code == 0, result.stderr
    read = json.loads(out.read_text())
    assert "lead, with the target's features, temperature 0" in result.stdout
    assert ("Python" in result.stdout) is any(row["python"] is not None for row in read["rows"])
    assert [row["learnt"] for row in read["rows"]] == [None, True, True, False, False]
    assert [(lead["drafter"], lead["other"]) for lead in read["leads"]] == [(f"small_model:{draft}", "ngram")] * 2
    assert all(set(lead["prefix"]) == {"value", "low", "high"} for lead in read["leads"])


def test_temperatures_are_read_before_anything_is_written(bench, tmp_path):
    result = bench("--disconnect", "--temperature", "warm", "--json", tmp_path / "out.json")

    assert "temperatures such as 0,1, got 'warm'" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jsonl"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--split", "--disconnect"], "one of --disconnect and --split, got both"),
        (["--split", "--html", "x.html"], "--split without --html, which it has no use for"),
        (["--disconnect", "--pass-ms", "3"], "--disconnect without --pass-ms"),
        (["--real", "5g"], "--real with --split, got it alone"),
        (["--split", "--links", "5g,6g"], "a link of wifi, cities, 5g, 4g, weak, got '6g'"),
        (["--split", "--links", "4g", "--real", "5g"], "--real to be one of the links 4g, got 5g"),
        (["--split", "--temperature", "0,1"], "one temperature with --split, got 0,1"),
        (["--split", "--drafters", "hf"], "drafters that can run apart from their target, got 'hf'"),
        (["--split", "--drafters", "none"], "a drafter besides plain decoding, got 'none'"),
        (["--disconnect", "--drafters", "none"], "a drafter besides plain decoding, got 'none'"),
        (["--split", "--pass-ms", "0"], "pass_ms above 0, got 0"),
    ],
)
def test_what_means_nothing_is_refused_in_one_line(bench, args, message):
    result = bench(*args)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert re.search(message, result.stderr)
