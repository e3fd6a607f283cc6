"""Tokens per second by link, as a plot."""

from io import BytesIO

from specdec.bench.entry import PLAIN
from specdec.bench.plot import COLOURS, STYLE, require
from specdec.bench.split.rows import BURST, SPLIT, Row
from specdec.bench.split.split import Measured


def picture(found: Measured, kind: str = "png") -> bytes:
    """Plot speed by link, from the nearest to the farthest, with a curve for each row of the table.

    Raises:
        OptionError: matplotlib is not installed.
    """
    require("matplotlib", "a plot")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    links = list(dict.fromkeys(row.link for row in found.rows))
    drafters = list(dict.fromkeys(row.drafter for row in found.rows if row.role == SPLIT))
    file = BytesIO()
    with rc_context(STYLE):
        figure = Figure(figsize=(12, 4.8), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, role in zip(panels, (SPLIT, BURST), strict=True):
            for row in (row for row in found.rows if row.link == links[0] and row.role not in (SPLIT, BURST)):
                axes.plot(links, _speeds(found, row), "o--", color="#777777" if row.drafter == PLAIN else "#000000")
                axes.annotate(row.role, (0, row.tokens_per_second), (4, 5), textcoords="offset points", size=9)
            for number, drafter in enumerate(drafters):
                row = next(row for row in found.rows if (row.role, row.drafter) == (role, drafter))
                axes.plot(links, _speeds(found, row), "o-", color=COLOURS[number % len(COLOURS)], label=drafter)
            axes.set(title=role, xlabel="link", ylim=(0, None))
        panels[0].set_ylabel("tokens per second")
        panels[1].legend(frameon=False, ncols=2)
        figure.savefig(file, format=kind, dpi=150)
    return file.getvalue()


def _speeds(found: Measured, like: Row) -> list[float]:
    rows = [row for row in found.rows if (row.role, row.drafter) == (like.role, like.drafter)]
    return [row.tokens_per_second for row in rows]
