"""The results as tables for a terminal."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from specdec.bench.entry import PLAIN
from specdec.bench.report import begin_table
from specdec.bench.split.disconnect import PLACES, Alone, Disconnected, LeadAlone
from specdec.bench.split.link import LINKS
from specdec.bench.split.rows import Row
from specdec.bench.split.split import Measured

ALONE_HEADINGS = ("drafter", "said", "prefix", *(f"agree {count}" for count in PLACES), "perplexity", "looping")
LEAD_HEADINGS = ("drafter", "over", "prefix (95 %)", f"agree {PLACES[-1]} (95 %)")
LINK_HEADINGS = (
    *("", "drafter", "levels", "tokens/s", "first ms", "calls/100", "bytes up", "bytes down", "tokens/pass"),
)
REAL_HEADINGS = ("", "drafter", "pass ms", "level ms", "tokens/s", "computed", "of that")
FEATURES = {True: "with the target's features", False: "without features"}


def show_disconnected(found: Disconnected, screen: Console) -> None:
    """Print what each drafter generated alone, and the leads."""
    for made in _disconnected(found):
        screen.print(made, "")
    screen.print("[dim]docs/bench.md says what the columns mean[/]")


def show_measured(found: Measured, screen: Console) -> None:
    """Print a table for each link."""
    levels = ", ".join(f"{escape(name)} {_ms(level)}" for name, level in found.level_ms.items())
    screen.print(f"a pass of the target: {_ms(found.pass_ms)}; a level of each drafter: {levels}", "")
    for name in dict.fromkeys(row.link for row in found.rows):
        link = LINKS[name]
        made = begin_table(f"{name}: {link.rate:g} Mbit/s, {link.delay:g} ± {link.jitter:g} ms each way", LINK_HEADINGS)
        for row in (row for row in found.rows if row.link == name):
            made.add_row(*map(escape, _link_cells(row)))
        screen.print(made, "")
    if found.real:
        made = begin_table(f"{found.real[0].link}, in real time", REAL_HEADINGS)
        for one in found.real:
            numbers = (f"{number:.1f}" for number in (one.pass_ms, one.level_ms, one.measured, one.computed))
            share = f"{100 * one.measured / one.computed:.0f} %"
            made.add_row(one.role, escape(one.drafter), *numbers, share)
        screen.print(made, "")
    screen.print("[dim]docs/bench.md says what the columns mean[/]")


def _ms(number: float) -> str:
    """Write milliseconds with three digits, and never with an exponent as `.3g` alone does from 1000 on."""
    return f"{float(f'{number:.3g}'):g} ms"


def _link_cells(row: Row) -> list[str]:
    speeds = f"{row.tokens_per_second:.1f}", f"{1000 * row.first_token:.0f}", f"{row.calls:.1f}"
    sizes = f"{row.up:.0f}", f"{row.down:.0f}", f"{row.acceptance_length:.2f}"
    return [row.role, "" if row.drafter == PLAIN else row.drafter, row.depth, *speeds, *sizes]


def _disconnected(found: Disconnected) -> Iterator[Table]:
    for temperature in dict.fromkeys(row.temperature for row in found.rows):
        rows = [row for row in found.rows if row.temperature == temperature]
        for learnt, features in FEATURES.items():
            own = [row for row in rows if row.learnt in (None, learnt)]
            yield _alone(f"alone, {features}, temperature {temperature:g}: {rows[0].texts} texts", own)
            leads = [lead for lead in found.leads if lead.temperature == temperature and lead.learnt is learnt]
            if leads:
                yield _leads(f"lead, {features}, temperature {temperature:g}", leads)


def _alone(title: str, rows: Sequence[Alone]) -> Table:
    python = any(row.python is not None for row in rows)
    made = begin_table(title, (*ALONE_HEADINGS, "Python") if python else ALONE_HEADINGS)
    for row in rows:
        numbers = row.said, row.prefix, *(row.agreement[count] for count in PLACES), row.perplexity, row.looping
        cells = map(_number, (*numbers, row.python) if python else numbers)
        made.add_row("the target" if row.drafter == PLAIN else escape(row.drafter), *cells)
    return made


def _number(number: float | None) -> str:
    return "-" if number is None else f"{number:.{1 if number >= 10 else 2}f}"


def _leads(title: str, leads: Sequence[LeadAlone]) -> Table:
    made = begin_table(title, LEAD_HEADINGS, names=2)
    for lead in leads:
        made.add_row(escape(lead.drafter), escape(lead.other), f"{lead.prefix:+.2f}", f"{lead.agreement:+.2f}")
    return made
