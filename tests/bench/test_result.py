"""What is written: a JSON object of a fixed shape, a picture, a page and answers, all with the same figures."""

import json
import struct
from io import StringIO

import pytest
from attrs import evolve
from rich.console import Console

from specdec.bench import Plan, answers, formatting, plot, report
from specdec.bench.plot import picture
from specdec.bench.report import page
from specdec.bench.result import Result
from specdec.bench.rows import rows
from specdec.errors import OptionError
from tests.bench.runs import Scripted, run, task
from tests.toys import byte_tokenizer

LOOP = (1, 2) * 20
TEXT = tuple(range(1, 41))
KEYS = {
    *("drafter", "prompt_set", "temperature", "tokens_per_second", "speedup", "acceptance_length"),
    *("acceptance_by_position", "draft_ms", "verify_ms", "parameters", "equal", "runs"),
}


class Other(Scripted):
    """Draws other random numbers."""

    def shares_noise(self, temperature):
        return False


@pytest.fixture
def result():
    """Plain decoding, a drafter with a loop among its texts, one that says something else, and one with other noise."""
    entries = [Scripted("none"), Scripted("<fast>"), Scripted("liar"), Other("hf")]
    runs = []
    for prompt_set in ("one", "two"):
        ends, goes_on = task(1, 0.5, prompt_set), task(2, 0.5, prompt_set)
        for repeat in range(2):
            runs += [run("none", ends, 4.0, LOOP, repeat=repeat), run("none", goes_on, 5.0, TEXT, repeat=repeat)]
            runs += [run("<fast>", ends, 1.0, LOOP, (10,) * 4, repeat, 0.25, 0.5)]
            runs += [run("<fast>", goes_on, 2.5, TEXT, (2,) * 20, repeat, 0.5, 1.0)]
            runs += [run(name, ends, 1.0, LOOP, repeat=repeat) for name in ("liar", "hf")]
            runs += [run(name, goes_on, 1.0, TEXT[::-1], repeat=repeat) for name in ("liar", "hf")]
    machine = {"processor": "a & b", "cores": 2, "threads": 1, "clock": "wall", "weights": "half"}
    found = rows(entries, runs, byte_tokenizer())
    return Result("toy", "chain", "match", machine, Plan((0.5,), 40, 2), tuple(found), tokenizer=byte_tokenizer())


def test_json_has_what_is_promised(result, tmp_path):
    result.write(tmp_path / "out.json")
    read = json.loads((tmp_path / "out.json").read_text())
    fast = next(row for row in read["rows"] if row["drafter"] == "<fast>" and row["prompt_set"] == "one")
    liar = next(row for row in read["rows"] if row["drafter"] == "liar")

    assert {"target", "policy", "machine", "rows"} <= set(read)
    assert all(set(row) >= KEYS for row in read["rows"])
    assert [row["prompt_set"] for row in read["rows"]] == ["one"] * 4 + ["two"] * 4 + ["all"] * 4
    assert fast["speedup"] == pytest.approx(9 / 3.5)
    assert fast["speedup_low"] <= fast["speedup"] <= fast["speedup_high"]
    assert fast["tokens_per_second"] == pytest.approx(80 / 3.5)
    assert fast["acceptance_length"] == pytest.approx(80 / 24)
    assert fast["draft_ms"] == pytest.approx(750 / 24)
    assert fast["looping"] == 1
    assert fast["without_looping"]["speedup"] == pytest.approx(2)
    assert (liar["equal"], liar["speedup"], liar["difference"]["question_id"]) == (False, None, 2)
    assert len(fast["runs"]) == 4
    assert set(fast["runs"][0]) == {"prompt_set", "question_id", "repeat", "seconds", "tokens", "steps"}


def test_a_picture_is_drawn_with_its_size(result):
    drawn = picture(result)
    width, height = struct.unpack(">II", drawn[16:24])

    assert drawn.startswith(b"\x89PNG\r\n\x1a\n")
    assert width > height > 500
    assert b"<svg" in picture(result, "svg")


def test_a_picture_has_room_for_drafters_with_long_paths(result):
    """Otherwise matplotlib warns that the panels have collapsed."""
    paths = evolve(result, rows=[evolve(row, drafter=f"moa:{'/folder' * 30}/{row.drafter}") for row in result.rows])

    assert picture(paths).startswith(b"\x89PNG\r\n\x1a\n")


def test_the_page_has_the_figures_and_needs_nothing_else(result):
    html = page(result)

    assert all(cell in html for row in result.rows for cell in formatting.numbers(row, row.figures))
    assert "2.57 (" in html
    assert "&lt;fast&gt;" in html
    assert "<fast>" not in html
    assert "a &amp; b" in html
    assert 'src="data:image/svg+xml;base64,' in html
    assert "http" not in html.partition("base64,")[0]
    assert "<script" not in html


def test_a_terminal_shows_the_figures_and_why_some_are_missing(result):
    screen = Console(width=report.WIDTH, record=True, file=StringIO())
    report.show(result, screen)
    shown = screen.export_text()

    assert "target toy, policy chain, rule match; a & b, half weights, 1 thread, clock: wall" in shown
    assert "all sets together, temperature 0.5: 4 prompts, up to 40 tokens each, 2 times" in shown
    assert "without 1 looping" in shown
    assert "2.57 (" in shown
    assert "not comparable" in shown
    liar = next(line for line in shown.splitlines() if line.strip().startswith("liar"))
    assert "refused" in liar
    assert "liar: question 2 of one, temperature 0.5, seed 0: from new token 1 on" in shown.replace("\n", " ")


def test_leads_are_in_json_in_the_terminal_and_on_the_page(tmp_path):
    runs = []
    for prompt_set, temperature in (("one", 0.0), ("two", 0.0), ("one", 1.0), ("two", 1.0)):
        one = task(1, temperature, prompt_set)
        runs += [run("none", one, 4.0), run("moa", one, 1.0, lengths=(4,)), run("eagle", one, 1.5, lengths=(2, 2))]
        runs += [run("hf", one, 9.0, (9, 9))]
    found = tuple(rows([*map(Scripted, ("none", "moa", "eagle")), Other("hf")], runs))
    result = Result("toy", "chain", "match", {"processor": "a"}, Plan((0, 1), 40, 1), found)
    result.write(tmp_path / "out.json")
    screen = Console(width=report.WIDTH, record=True, file=StringIO())
    report.show(result, screen)
    shown, html = screen.export_text(), page(result)

    leads = json.loads((tmp_path / "out.json").read_text())["leads"]
    assert [lead["temperature"] for lead in leads] == [0, 1]  # over all sets together
    for lead in leads:
        assert (lead["drafter"], lead["other"]) == ("moa", "eagle")
        assert (lead["acceptance_length"]["value"], lead["speed"]["low"]) == (2.0, 1.5)
    for text in ("lead, temperature 0", "lead, temperature 1", "2.00 (2.00 to 2.00)", "1.50 (1.50 to 1.50)"):
        assert text in shown
        assert text in html


def test_answers_are_those_of_spec_bench(result, tmp_path):
    written = answers.write_result(result, tmp_path / "answers")
    file = next(path for path in written if path.name == "_fast_-one-0.5.jsonl")
    first, second = answers.read(file)

    assert len(written) == 8
    assert (first.question_id, first.model_id, len(first.choices)) == (1, "<fast>", 2)
    assert second.choices[1].turns == (byte_tokenizer().decode(TEXT),)
    assert second.choices[1].accept_lengths == (2,) * 20
    assert second.choices[1].decoding_steps == (20,)


@pytest.mark.parametrize(("draw", "package"), [(picture, "matplotlib"), (page, "jinja2")])
def test_a_missing_package_is_named_with_what_brings_it(result, monkeypatch, draw, package):
    monkeypatch.setattr(plot, "find_spec", lambda name: None if name == package else "there")

    with pytest.raises(OptionError, match=rf"expected {package} .* `pip install 'specdec-kit\[bench\]'` brings it"):
        draw(result)


def test_the_report_of_refused_rows_lists_each_once(result):
    assert [(row.drafter, row.prompt_set) for row in result.differences] == [("liar", "one"), ("liar", "two")]
