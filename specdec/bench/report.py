"""What a person sees of a benchmark: tables in a terminal, and one page that needs nothing beside itself."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from specdec.bench import formatting
from specdec.bench.compare import Trial
from specdec.bench.plot import picture, require
from specdec.bench.result import Result
from specdec.bench.rows import Row

WIDTH = 120
"""Columns where there is no terminal to ask."""
TEMPLATE = Path(__file__).with_name("page.html")
TRIAL_HEADINGS = ("policy", "tokens/s", "tokens/step", "ms/step", "")


def console() -> Console:
    """Make a console wide enough for the tables."""
    screen = Console(highlight=False)
    return screen if screen.is_terminal else Console(highlight=False, width=WIDTH)


def show(result: Result, screen: Console) -> None:
    """Print what was compared, the tables, what their columns mean, and why figures are missing."""
    screen.print(escape(formatting.setting(result.target, result.policy, result.rule, result.machine)))
    for drafter, policy in dict.fromkeys((row.drafter, row.policy) for row in result.rows if row.policy):
        screen.print(f"[dim]{escape(drafter)}: {policy}[/]")
    screen.print()
    for title, rows in _tables(result):
        table = _table(title, formatting.HEADINGS)
        for row in rows:
            for style, cells in _lines(row, "red", "dim"):
                table.add_row(*map(escape, cells), style=style)
        screen.print(table, "")
    for definition in formatting.DEFINITIONS:
        screen.print(f"[dim]{definition}[/]")
    for note in formatting.notes(list(result.rows)):
        screen.print(f"\n[red]{escape(note)}[/]")


def show_trials(trials: Sequence[Trial], screen: Console) -> None:
    """Print what was tried for each drafter, and what was chosen."""
    for drafter, group in groupby(trials, key=lambda trial: trial.drafter):
        table = _table(f"shapes for {escape(drafter)}", TRIAL_HEADINGS)
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
        headings=formatting.HEADINGS,
        policies={row.drafter: row.policy for row in result.rows if row.policy},
        definitions=formatting.DEFINITIONS,
        notes=formatting.notes(list(result.rows)),
    )
    return html


def _tables(result: Result) -> Iterator[tuple[str, list[Row]]]:
    """Give the rows of each set and temperature, and what their table is about."""
    for _, group in groupby(result.rows, key=lambda row: (row.prompt_set, row.temperature)):
        rows = list(group)
        yield formatting.heading(rows[0], result.plan), rows


def _lines(row: Row, refused: str, without: str) -> list[tuple[str, list[str]]]:
    """Give a row's cells, and those without the texts that loop if there are any, each with how it looks."""
    looping = formatting.loop_cells(row)
    own = "" if row.equal is not False else refused, formatting.cells(row)
    return [own, *([(without, looping)] if looping else [])]


def _table(title: str, headings: Sequence[str]) -> Table:
    """Begin a table; all columns but the first, and those without a name, hold numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    for number, name in enumerate(headings):
        table.add_column(name, justify="right" if number and name else "left", no_wrap=number > 0, overflow="fold")
    return table
