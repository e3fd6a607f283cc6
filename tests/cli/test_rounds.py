"""Rounds of a comparison: every text counts, and an odd number of them has a median."""

from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from specdec import Stop
from specdec.cli import run
from specdec.context import Step
from specdec.metrics import Summary
from specdec.options import Sampling

JOB = run.Job("x", Sampling(), Stop())
SUMMARY = Summary(1, 1, 1.0, 1.0, 0.0, ())


class Scripted:
    """Says one text after the other, and lets the clock pass."""

    def __init__(self, clock: list[float], texts: list[list[int]], seconds: list[float]) -> None:
        self.clock, self.said, self.tokenizer = clock, zip(texts, seconds, strict=True), None
        self.metrics = SimpleNamespace(summary=lambda: SUMMARY)

    def stream(self, *_: Any) -> Any:
        tokens, seconds = next(self.said)
        self.clock[0] += seconds
        yield Step([tokens], [0], retracted=(0,))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time = [0.0]
    monkeypatch.setattr(run, "perf_counter", lambda: time[0])
    return time


def compared(clock: list[float], texts: list[list[int]], seconds: float = 1.0, **options: Any) -> run.Comparison:
    plain = Scripted(clock, [[1, 2, 3]] * 3, [seconds] * 3)
    fast: Any = Scripted(clock, texts, [seconds * place for place in range(1, 4)])
    return run.compare(JOB, plain, fast, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("wrong", "place"), [([1, 2, 4], 2), ([1, 2], 2), ([9, 2, 3], 0)])
@pytest.mark.parametrize("at", range(3))
def test_the_text_of_every_round_is_compared(clock: list[float], wrong: list[int], place: int, at: int) -> None:
    same = [[1, 2, 3]] * 3
    assert compared(clock, same).difference is None
    assert compared(clock, [*same[:at], wrong, *same[at + 1 :]]).difference == place


def test_the_text_that_was_shown_is_compared_too(clock: list[float]) -> None:
    shown = run.Run((1, 5), "", 1.0, SUMMARY)
    assert compared(clock, [[1, 2, 3]] * 3, before=[shown]).difference == 1


@pytest.mark.parametrize(("seconds", "rounds", "median"), [(1.0, 3, 2.0), (7.0, 3, 14.0), (8.0, 1, 8.0)])
def test_the_number_of_rounds_is_odd(clock: list[float], seconds: float, rounds: int, median: float) -> None:
    shown = count()
    found = compared(clock, [[1, 2, 3]] * 3, seconds, show=lambda _: next(shown))
    assert (next(shown), found.fast.seconds) == (rounds, median)
