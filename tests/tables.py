"""Tables of what tests recorded: `record_property(title, row)` in a test, in whatever process."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def recorded(reports: Iterable[Any]) -> dict[str, list[Row]]:
    """Gather rows by title."""
    tables: dict[str, list[Row]] = defaultdict(list)
    for report in reports:
        if getattr(report, "when", "") == "call":
            for title, row in report.user_properties:
                tables[title].append(row)
    return tables


def lines(rows: Sequence[Row]) -> list[str]:
    """Lay out rows in their order under the names of their columns."""
    ordered = sorted(rows, key=lambda row: list(row.values()))
    table = [list(rows[0]), *(list(map(str, row.values())) for row in ordered)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in table]
