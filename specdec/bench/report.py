"""What a person sees of a benchmark: tables in a terminal, and one page that needs nothing besides itself."""

import os
from base64 import b64encode
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from specdec.bench import formatting
from specdec.bench.columns import DEFINITIONS, HEADINGS, LEAD_HEADINGS
from specdec.bench.compare import Trial
from specdec.bench.plot import picture, require
from specdec.bench.result import Result
from specdec.bench.rows import Row

WIDTH = 120
"""Columns where there is no terminal to ask."""
TEMPLATE = Path(__file__).with_name("page.html")
TRIAL_HEADINGS = ("policy", "tokens/s", "tokens/step", "ms/step", "")


def console() -> Console:
    """Make a console as wide as the terminal, or as `COLUMNS` says, or wide enough for the tables."""
    screen = Console(highlight=False)
    return screen if screen.is_terminal or "COLUMNS" in os.environ else Console(highlight=False, width=WIDTH)


def show(result: Result, screen: Console) -> None:
    """Print what was compared, the tables, as many columns as fit, and why figures are missing."""
    screen.print(escape(formatting.setting(result.target, result.policy, result.rule, result.machine)))
    for drafter, policy in dict.fromkeys((row.drafter, row.policy) for row in result.rows if row.policy):
        screen.print(f"[dim]{escape(drafter)}: {policy}[/]")
    screen.print()
    for title, rows in _tables(result):
        lines = [line for row in rows for line in _lines(row, "red", "dim")]
        shown = _fitting([list(HEADINGS), *(cells for _, cells in lines)], screen.width)
        table = begin_table(title, HEADINGS[:shown])
        for style, cells in lines:
            table.add_row(*map(escape, cells[:shown]), style=style)
        screen.print(table)
        if shown < len(HEADINGS):
            screen.print(f"[dim]in a wider terminal: {', '.join(HEADINGS[shown:])}[/]", soft_wrap=True)
        screen.print()
    for title, leads in _leads(result):
        table = begin_table(title, LEAD_HEADINGS, names=2)
        for cells in leads:
            table.add_row(*map(escape, cells))
        screen.print(table, "")
    screen.print("[dim]specdec bench --help says what the columns mean[/]")
    for note in formatting.notes(list(result.rows), result.interrupted):
        screen.print(f"\n[red]{escape(note)}[/]")


def show_trials(trials: Sequence[Trial], screen: Console) -> None:
    """Print what was tried for each drafter, and what was chosen."""
    for drafter, group in groupby(trials, key=lambda trial: trial.drafter):
        table = begin_table(f"shapes for {escape(drafter)}", TRIAL_HEADINGS)
        for trial in sorted(group, key=lambda trial: -trial.tokens_per_second):
            numbers = (f"{trial.tokens_per_second:.1f}", f"{trial.acceptance_length:.2f}", f"{trial.step_ms:.2f}")
            table.add_row(trial.policy, *numbers, "chosen: the fastest" if trial.chosen else "")
        screen.print(table, "")


def page(result: Result) -> str:
    """Lay out the tables, the plot and what they mean as HTML.

    Raises:
        OptionError: jinja2 or matplotlib is not installed.
    """
    require("jinja2", "a page")
    from jinja2 import Template

    template = Template(TEMPLATE.read_text("utf-8"), autoescape=True)
    html: str = template.render(
        result=result,
        picture=b64encode(picture(result, "svg")).decode(),
        tables=[
            (title, [line for row in rows for line in _lines(row, "refused", "without")])
            for title, rows in _tables(result)
        ],
        headings=HEADINGS,
        leads=list(_leads(result)),
        lead_headings=LEAD_HEADINGS,
        policies={row.drafter: row.policy for row in result.rows if row.policy},
        definitions=DEFINITIONS,
        notes=formatting.notes(list(result.rows), result.interrupted),
    )
    return html


def _tables(result: Result) -> Iterator[tuple[str, list[Row]]]:
    """Give the rows of each set and temperature, and what their table is about."""
    for _, group in groupby(result.rows, key=lambda row: (row.prompt_set, row.temperature)):
        rows = list(group)
        yield formatting.heading(rows[0], result.plan), rows


def _leads(result: Result) -> Iterator[tuple[str, list[list[str]]]]:
    """Give the leads at each temperature, if there are any, and what their table is about."""
    for temperature, group in groupby(result.leads, key=lambda lead: lead.temperature):
        yield f"lead, temperature {temperature:g}", [formatting.lead_cells(lead) for lead in group]


def _lines(row: Row, refused: str, without: str) -> list[tuple[str, list[str]]]:
    """Give a row's cells, and those without the texts that loop if there are any, each with how it looks."""
    looping = formatting.loop_cells(row)
    own = "" if row.equal is not False else refused, formatting.cells(row)
    return [own, *([(without, looping)] if looping else [])]


def _fitting(lines: Sequence[Sequence[str]], width: int) -> int:
    """Count the columns that fit; the first is given a third at most, and folds its text."""
    widths = [max(map(len, column)) + 2 for column in zip(*lines, strict=True)]
    ends = accumulate([min(widths[0], width // 3), *widths[1:]])
    return max(1, sum(end <= width for end in ends))


def begin_table(title: str, headings: Sequence[str], names: int = 1) -> Table:
    """Begin a table; the first `names` columns, and those without a heading, hold text, and all others numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    for number, heading in enumerate(headings):
        text = number < names
        table.add_column(heading, justify="left" if text or not heading else "right", no_wrap=not text, overflow="fold")
    return table
