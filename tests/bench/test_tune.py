"""Tuning: the fastest shape wins, by the clock that is given."""

from io import StringIO
from itertools import count

import torch
from rich.console import Console

from specdec import Target, load_policy
from specdec.bench import Plan, Question, report
from specdec.bench.compare import CANDIDATES, tune
from specdec.drafters import NoDrafter, SmallModel
from tests.toys import build, byte_tokenizer

QUESTIONS = [Question(1, "", ["abcabc"]), Question(2, "", ["x y x"])]


def test_the_shape_of_most_tokens_per_tick_is_chosen_for_each_drafter():
    """Each look at the clock takes one tick, so that fewer steps are faster: a perfect draft wants depth."""
    model = build("llama", dtype=torch.float32, vocab_size=len(byte_tokenizer()))
    drafters, told = {"perfect": SmallModel(model), "nothing": NoDrafter()}, []
    shapes = ("chain:length=1", "chain:length=6", "chain:length=2")
    ticks = count()
    trials = tune(
        Target(model, byte_tokenizer()),
        drafters,
        QUESTIONS,
        Plan(max_tokens=14, repeats=1),
        shapes,
        clock=lambda: float(next(ticks)),
        on_run=lambda run: told.append(run.entry),
    )
    chosen = [(trial.drafter, trial.policy) for trial in trials if trial.chosen]

    assert chosen == [("perfect", "chain:length=6"), ("nothing", "chain:length=1")]
    assert [(each.drafter, each.policy) for each in trials] == [(name, shape) for name in drafters for shape in shapes]
    assert [trial.acceptance_length for trial in trials[:3]] == [2.0, 7.0, 14 / 5]
    assert sorted(set(told)) == sorted(f"{name} with {shape}" for name in drafters for shape in shapes)
    assert len(told) == 12

    screen = Console(width=report.WIDTH, record=True, file=StringIO())
    report.show_trials(trials, screen)
    lines = [line.split() for line in screen.export_text().splitlines()]
    assert lines[0] == ["shapes", "for", "perfect"]
    assert lines[2][0] == "chain:length=6"
    assert lines[2][-3:] == ["chosen:", "the", "fastest"]


def test_all_candidates_are_policies_that_there_are():
    assert [load_policy(shape) for shape in CANDIDATES]
