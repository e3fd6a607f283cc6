"""A benchmark as one page that needs nothing beside itself."""

from base64 import b64encode
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from specdec.bench import wording
from specdec.bench.extras import require
from specdec.bench.plot import picture
from specdec.bench.result import Result
from specdec.bench.rows import Row

TEMPLATE = Path(__file__).with_name("page.html")


def page(result: Result) -> str:
    """Lay out the tables, the plot and what they mean as HTML.

    Raises:
        OptionError: jinja2 or matplotlib is not installed.
    """
    require("jinja2", "a page")
    from jinja2 import Template

    template = Template(TEMPLATE.read_text("utf-8"), autoescape=True)
    groups = groupby(result.rows, key=lambda row: (row.prompt_set, row.temperature))
    html: str = template.render(
        result=result,
        picture=b64encode(picture(result, "svg")).decode(),
        tables=[_table(list(rows), result) for _, rows in groups],
        headings=wording.HEADINGS,
        policies={row.drafter: row.policy for row in result.rows if row.policy},
        definitions=wording.DEFINITIONS,
        notes=wording.notes(list(result.rows)),
    )
    return html


def _table(rows: list[Row], result: Result) -> tuple[str, list[tuple[str, list[str]]]]:
    return wording.heading(rows[0], result.plan), [line for row in rows for line in _lines(row)]


def _lines(row: Row) -> Iterator[tuple[str, list[str]]]:
    """Give the class of each line of a row, and its cells."""
    yield "refused" if row.equal is False else "", wording.cells(row)
    without = wording.loop_cells(row)
    if without:
        yield "without", without
