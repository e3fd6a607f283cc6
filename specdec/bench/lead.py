"""One drafter beside another on the same prompts."""

from collections.abc import Iterator, Sequence
from itertools import product

from attrs import frozen

from specdec.bench.entry import PLAIN
from specdec.bench.figures import typical
from specdec.bench.interval import Interval
from specdec.bench.rows import Row


@frozen
class Lead:
    """What one drafter is over another: a ratio of acceptance lengths and one of speeds, above 1 if it leads.

    Both gave plain decoding's texts, so the lengths are as the steps that they took, and the speeds as the seconds.
    """

    drafter: str
    other: str
    temperature: float
    acceptance_length: Interval
    speed: Interval


def across(drafters: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pair the first drafter, and others of its kind as `moa:tli=1` is of `moa`'s, with each of another kind."""
    kinds = {drafter: drafter.partition(":")[0] for drafter in drafters}
    for drafter, other in product(drafters, drafters):
        if kinds[drafter] == kinds[drafters[0]] != kinds[other]:
            yield drafter, other


def leads(rows: Sequence[Row]) -> Iterator[Lead]:
    """Compare drafters on the same prompts, those whose texts were plain decoding's."""
    by_name = {row.drafter: row for row in rows if row.drafter != PLAIN}
    for drafter, other in across(list(by_name)):
        if by_name[drafter].equal and by_name[other].equal:
            yield _lead(by_name[drafter], by_name[other])


def _lead(row: Row, other: Row) -> Lead:
    steps, seconds = [], []
    for one, two in zip(typical(row.runs), typical(other.runs), strict=True):
        steps.append((len(two.trace.lengths), len(one.trace.lengths)))
        seconds.append((two.trace.seconds, one.trace.seconds))
    ratios = (Interval.ratio(*zip(*pairs, strict=True)) for pairs in (steps, seconds))
    return Lead(row.drafter, other.drafter, row.temperature, *ratios)
