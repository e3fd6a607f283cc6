"""The figures of runs; each has one definition, and it stands here."""

from collections import Counter
from collections.abc import Sequence

from attrs import frozen

from specdec.bench.interval import Interval
from specdec.bench.run import Run, by_task

GRAM = 8
"""Length of the pieces of a text that are compared to find loops."""


@frozen
class Figures:
    """The figures of one drafter on some prompts.

    Each prompt counts with its run of median time; of an even number of runs that is the slower of the middle two.

    `tokens_per_second` is all new tokens over all seconds, the reading of the prompts included. `speedup` is plain
    decoding's seconds over the drafter's, `speedup_low` and `speedup_high` the bounds of its 95 % interval when prompts
    are drawn again with replacement (bootstrap, percentiles; None of a single prompt). All three are None where texts
    are not equal, or need not be.

    `acceptance_length` is tokens per step of the target over all steps, `acceptance_length_per_request` the mean of
    each prompt's own; `acceptance_by_position[i]` the share of steps whose i-th drafted token was accepted.

    `draft_ms`, `verify_ms` and `other_ms` are milliseconds per step: in the drafter, in the verifier's steps, and the
    rest (the target's reading of the prompt and the loop itself). Together they are the time per step.
    """

    prompts: int
    tokens_per_second: float
    speedup: float | None
    speedup_low: float | None
    speedup_high: float | None
    acceptance_length: float
    acceptance_length_per_request: float
    acceptance_by_position: tuple[float, ...]
    draft_ms: float
    verify_ms: float
    other_ms: float


def figures(runs: Sequence[Run], plain: Sequence[Run] | None) -> Figures:
    """Work out the figures of one entry's runs beside those of plain decoding; without these, of its own alone."""
    medians = typical(runs)
    traces = [run.trace for run in medians]
    tokens = sum(len(trace.tokens) for trace in traces)
    seconds = sum(trace.seconds for trace in traces)
    steps = sum(len(trace.lengths) for trace in traces)
    draft, verify = sum(trace.draft for trace in traces), sum(trace.verify for trace in traces)
    speedup, low, high = (None, None, None) if plain is None else speedups(medians, typical(plain))
    return Figures(
        prompts=len(medians),
        tokens_per_second=tokens / seconds,
        speedup=speedup,
        speedup_low=low,
        speedup_high=high,
        acceptance_length=tokens / steps,
        acceptance_length_per_request=sum(len(each.tokens) / len(each.lengths) for each in traces) / len(traces),
        acceptance_by_position=by_position([count for trace in traces for count in trace.accepted]),
        draft_ms=1000 * draft / steps,
        verify_ms=1000 * verify / steps,
        other_ms=1000 * (seconds - draft - verify) / steps,
    )


def typical(runs: Sequence[Run]) -> list[Run]:
    """Take each task's run of median time, in the order of the tasks."""
    return [sorted(repeats, key=lambda run: run.trace.seconds)[len(repeats) // 2] for repeats in by_task(runs)]


def speedups(runs: Sequence[Run], plain: Sequence[Run]) -> tuple[float, float | None, float | None]:
    """Work out the speed-up and its interval, of the same tasks in the same order."""
    before, after = ([run.trace.seconds for run in each] for each in (plain, runs))
    found = Interval.ratio(before, after)
    return found.value, found.low, found.high


def by_position(accepted: Sequence[int]) -> tuple[float, ...]:
    """Turn the accepted drafted tokens of each step into the share of steps that reached each depth."""
    counts = Counter(accepted)
    deepest = max(counts, default=0)
    reached = [sum(times for depth, times in counts.items() if depth > place) for place in range(deepest)]
    return tuple(times / len(accepted) for times in reached)


def loops(tokens: Sequence[int]) -> bool:
    """Say whether a text goes round in circles, where any drafter looks good.

    It does if fewer than half of its runs of eight tokens are distinct; texts of less than eight do not loop.
    """
    grams = [tuple(tokens[start : start + GRAM]) for start in range(len(tokens) - GRAM + 1)]
    return 2 * len(set(grams)) < len(grams)
