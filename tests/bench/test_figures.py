"""Figures: each is what its definition says, by arithmetic done otherwise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specdec.bench.figures import by_position, figures, loops, speedups, typical
from specdec.bench.interval import Interval
from specdec.bench.lead import leads, pairs_of_kinds
from specdec.bench.rows import first_difference, rows
from tests.bench.runs import Scripted, run, task

TOKENS = st.lists(st.integers(0, 5), max_size=40)
SECONDS = st.floats(0.01, 100.0)
STEPS = st.lists(st.integers(1, 6), min_size=1, max_size=8)


@given(TOKENS, TOKENS)
def test_a_difference_is_the_end_of_what_is_common(one, other):
    place = first_difference(one, other)

    assert (place is None) == (one == other)
    if place is not None:
        assert one[:place] == other[:place]
        assert one[place : place + 1] != other[place : place + 1]


def test_a_text_that_repeats_itself_loops_and_one_that_does_not_does_not():
    assert loops([1, 2, 3] * 20)
    assert not loops(list(range(60)))
    assert not loops([1, 2, 3])


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30))
def test_by_position_is_the_share_of_steps_that_got_as_far(accepted):
    shares = by_position(accepted)

    assert len(shares) == max(accepted)
    assert [round(share * len(accepted)) for share in shares] == [
        sum(count > place for count in accepted) for place in range(max(accepted))
    ]


@given(st.lists(st.tuples(STEPS, SECONDS, SECONDS), min_size=1, max_size=6))
def test_all_figures_follow_from_the_runs(cases):
    tasks = [task(number) for number in range(len(cases))]
    drafted = [
        run("d", one, seconds, range(sum(steps)), steps, draft=seconds / 4, verify=seconds / 2)
        for one, (steps, seconds, _) in zip(tasks, cases, strict=True)
    ]
    plain = [run("none", one, slow, range(sum(steps))) for one, (steps, _, slow) in zip(tasks, cases, strict=True)]
    found = figures(drafted, plain)
    seconds, steps = sum(case[1] for case in cases), sum(len(case[0]) for case in cases)
    tokens = sum(sum(case[0]) for case in cases)

    assert found.prompts == len(cases)
    assert found.tokens_per_second == pytest.approx(tokens / seconds)
    assert found.speedup == pytest.approx(found.tokens_per_second / figures(plain, None).tokens_per_second)
    assert found.acceptance_length == pytest.approx(tokens / steps)
    assert found.acceptance_length == pytest.approx(1 + sum(found.acceptance_by_position))
    assert found.acceptance_length_per_request == pytest.approx(np.mean([np.mean(case[0]) for case in cases]))
    assert found.draft_ms + found.verify_ms + found.other_ms == pytest.approx(1000 * seconds / steps)
    assert found.draft_ms == pytest.approx(found.other_ms)
    assert found.verify_ms == pytest.approx(2 * found.draft_ms)


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=2, max_size=10))
def test_a_speed_up_lies_between_those_of_single_prompts_and_so_does_its_interval(seconds):
    tasks = [task(number) for number in range(len(seconds))]
    plain = [run("none", one, slow) for one, (slow, _) in zip(tasks, seconds, strict=True)]
    fast = [run("d", one, quick) for one, (_, quick) in zip(tasks, seconds, strict=True)]
    ratios = [slow / quick for slow, quick in seconds]
    speedup, low, high = speedups(fast, plain)

    assert min(ratios) - 1e-9 <= low <= high <= max(ratios) + 1e-9
    assert min(ratios) - 1e-9 <= speedup <= max(ratios) + 1e-9


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    generator, covered = np.random.default_rng(5), 0
    tasks = [task(number) for number in range(40)]
    for _ in range(100):
        slow = generator.gamma(4.0, 1.0, len(tasks))
        quick = slow / 2 * generator.gamma(8.0, 1 / 8, len(tasks))  # twice as fast in all
        runs = [run("d", one, seconds) for one, seconds in zip(tasks, quick, strict=True)]
        _, low, high = speedups(runs, [run("none", one, seconds) for one, seconds in zip(tasks, slow, strict=True)])
        covered += low <= 2 <= high

    assert 85 <= covered <= 99


def test_a_single_prompt_has_no_interval():
    one = task()

    assert speedups([run("d", one, 2.0)], [run("none", one, 3.0)]) == (1.5, None, None)


def test_the_median_repeat_counts():
    one = task()
    runs = [run("d", one, seconds, repeat=number) for number, seconds in enumerate((3.0, 1.0, 50.0))]

    assert [each.trace.seconds for each in typical(runs)] == [3.0]
    assert figures(runs, None).tokens_per_second == pytest.approx(4 / 3)


@given(st.lists(st.tuples(STEPS, STEPS, SECONDS, SECONDS), min_size=2, max_size=6))
def test_a_lead_is_the_ratio_of_lengths_and_speeds(cases):
    tasks, runs = [task(number) for number in range(len(cases))], []
    for one, (steps, others, seconds, longer) in zip(tasks, cases, strict=True):
        count = min(sum(steps), sum(others))
        for name, lengths, taken in (("none", [1] * count, 9.0), ("moa", steps, seconds), ("eagle", others, longer)):
            cut = [length for length, done in zip(lengths, np.cumsum(lengths), strict=True) if done <= count]
            cut += [count - sum(cut)] if sum(cut) < count else []
            runs.append(run(name, one, taken, range(count), tuple(cut)))
    table = rows([Scripted(name) for name in ("none", "moa", "eagle")], runs)
    own, other = (row.figures for row in table if row.drafter in ("moa", "eagle"))
    [lead] = leads(table)

    assert (lead.drafter, lead.other) == ("moa", "eagle")
    assert lead.acceptance_length.value == pytest.approx(own.acceptance_length / other.acceptance_length)
    assert lead.speed.value == pytest.approx(own.tokens_per_second / other.tokens_per_second)
    assert lead.speed.low <= lead.speed.value * (1 + 1e-9)
    assert lead.speed.value <= lead.speed.high * (1 + 1e-9)


def test_there_is_no_lead_over_other_texts():
    one = task()
    texts = {"none": (5, 6, 7, 8), "moa": (5, 6, 7, 8), "liar": (8, 7, 6, 5), "eagle": (5, 6, 7, 8)}
    runs = [run(name, one, 1.0, tokens) for name, tokens in texts.items()]

    assert [lead.other for lead in leads(rows([Scripted(name) for name in texts], runs))] == ["eagle"]


def test_drafters_lead_those_of_other_kinds():
    names = ["moa:a", "eagle", "moa:b", "hf"]

    assert list(pairs_of_kinds(names)) == [("moa:a", "eagle"), ("moa:a", "hf"), ("moa:b", "eagle"), ("moa:b", "hf")]
    assert list(pairs_of_kinds(["ngram"])) == []


def test_an_interval_is_written_with_one_format_for_all():
    assert f"{Interval.mean([1.0, 1.0]):+.1f}" == "+1.0 (+1.0 to +1.0)"
    assert f"{Interval.ratio([1.0, 3.0], [1.0, 1.0]):.2f}" == "2.00 (1.00 to 3.00)"
    assert f"{Interval.ratio([3.0], [2.0]):.2f}" == "1.50"  # one prompt does not tell how others would be
