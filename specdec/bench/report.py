"""What a person sees of a benchmark in a terminal."""

from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from specdec.bench import wording
from specdec.bench.result import Result
from specdec.bench.rows import Row
from specdec.bench.run import Plan
from specdec.bench.tune import Trial

WIDTH = 120
"""Columns where there is no terminal to ask."""


def console() -> Console:
    """Make a console wide enough for the tables."""
    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=WIDTH)


def show(result: Result, screen: Console) -> None:
    """Print what was compared, the tables, what their columns mean, and why figures are missing."""
    screen.print(escape(wording.setting(result.target, result.policy, result.rule, result.machine)))
    for drafter, policy in dict.fromkeys((row.drafter, row.policy) for row in result.rows if row.policy):
        screen.print(f"[dim]{escape(drafter)}: {policy}[/]")
    screen.print()
    for _, rows in groupby(result.rows, key=lambda row: (row.prompt_set, row.temperature)):
        screen.print(table(list(rows), result.plan), "")
    for definition in wording.DEFINITIONS:
        screen.print(f"[dim]{definition}[/]")
    for note in wording.notes(list(result.rows)):
        screen.print(f"\n[red]{escape(note)}[/]")


def table(rows: list[Row], plan: Plan) -> Table:
    """Lay out the rows of one set and temperature."""
    made = Table(title=wording.heading(rows[0], plan), title_justify="left", title_style="bold", box=None)
    for number, name in enumerate(wording.HEADINGS):
        made.add_column(name, justify="right" if number else "left", no_wrap=number > 0, overflow="fold")
    for row in rows:
        made.add_row(*map(escape, wording.cells(row)), style="red" if row.equal is False else None)
        without = wording.loop_cells(row)
        if without:
            made.add_row(*without, style="dim")
    return made


def show_trials(trials: list[Trial], screen: Console) -> None:
    """Print what was tried for each drafter, and what was chosen."""
    for drafter, group in groupby(trials, key=lambda trial: trial.drafter):
        tried = sorted(group, key=lambda trial: -trial.tokens_per_second)
        made = Table(title=f"shapes for {drafter}", title_justify="left", title_style="bold", box=None)
        for number, name in enumerate(("policy", "tokens/s", "tokens/step", "ms/step", "")):
            made.add_column(name, justify="left" if number in (0, 4) else "right", no_wrap=True)
        for trial in tried:
            numbers = (f"{trial.tokens_per_second:.1f}", f"{trial.acceptance_length:.2f}", f"{trial.step_ms:.2f}")
            made.add_row(trial.policy, *numbers, "chosen: the fastest" if trial.chosen else "")
        screen.print(made, "")
