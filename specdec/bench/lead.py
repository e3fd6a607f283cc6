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
    """By how much a drafter leads another: the ratio of their acceptance lengths and that of their speeds.

    Both gave the same tokens, so the first is the other's steps over its own, the second the other's seconds over its
    own.
    """

    drafter: str
    other: str
    temperature: float
    acceptance_length: Interval
    speed: Interval


def pairs_of_kinds(drafters: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pair the first drafter, and others of its kind as `moa:tli=1` is of `moa`'s, with each of another kind."""
    kinds = {drafter: drafter.partition(":")[0] for drafter in drafters}
    for drafter, other in product(drafters, drafters):
        if kinds[drafter] == kinds[drafters[0]] != kinds[other]:
            yield drafter, other


def leads(rows: Sequence[Row]) -> Iterator[Lead]:
    """Compare the drafters whose texts were plain decoding's; the rows are of one set and one temperature."""
    by_name = {row.drafter: row for row in rows if row.drafter != PLAIN}
    for drafter, other in pairs_of_kinds(list(by_name)):
        if by_name[drafter].equal and by_name[other].equal:
            yield _lead(by_name[drafter], by_name[other])


def _lead(row: Row, other: Row) -> Lead:
    own, others = ([run.trace for run in typical(each.runs)] for each in (row, other))
    return Lead(
        row.drafter,
        other.drafter,
        row.temperature,
        Interval.ratio([len(trace.lengths) for trace in others], [len(trace.lengths) for trace in own]),
        Interval.ratio([trace.seconds for trace in others], [trace.seconds for trace in own]),
    )
