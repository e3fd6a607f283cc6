"""A benchmark as a picture: for each temperature speed-up, acceptance and the time of a step."""

from collections.abc import Sequence
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any

from specdec.bench import formatting
from specdec.bench.entry import PLAIN
from specdec.bench.result import Result
from specdec.bench.rows import Row
from specdec.errors import OptionError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXTRA = "bench"
COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#b279a2", "#9d755d", "#439894", "#d67195", "#3b3b3b")
PARTS = (("draft", "#f58518"), ("verify", "#4c78a8"), ("other", "#bab0ac"))
STYLE: dict[Any, Any] = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "font.size": 10,
    "svg.hashsalt": "specdec",
}
WIDTH, HEIGHT = 15.0, 4.6
"""Inches of the whole, and of each temperature."""
LONGEST = 32
"""Letters of a name; longer ones, as those with a path, would leave the panels no room."""


def require(package: str, purpose: str) -> None:
    """Check that a package of the extra `bench` is there.

    Raises:
        OptionError: it is not; the message says what installs it.
    """
    if find_spec(package) is None:
        raise OptionError(
            f"expected {package} for {purpose}, which is not installed; `pip install 'specdec-kit[{EXTRA}]'` brings it"
        )


def picture(result: Result, kind: str = "png") -> bytes:
    """Draw a result as a file of a kind that matplotlib writes: png, svg, pdf.

    Raises:
        OptionError: matplotlib is not installed.
    """
    require("matplotlib", "a plot")
    from matplotlib import rc_context

    file = BytesIO()
    with rc_context(STYLE):
        draw(result).savefig(file, format=kind, dpi=150)
    return file.getvalue()


def draw(result: Result) -> "Figure":
    """Draw it: a line of three panels for each temperature, a drafter has one colour in all."""
    from matplotlib.figure import Figure

    temperatures = result.plan.temperatures
    figure = Figure(figsize=(WIDTH, HEIGHT * len(temperatures) + 0.5), layout="constrained")
    panels = figure.subplots(len(temperatures), 3, squeeze=False, width_ratios=(1.1, 1, 1.2))
    names = list(dict.fromkeys(row.drafter for row in result.rows if row.drafter != PLAIN))
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)} | {PLAIN: "#777777"}
    for line, temperature in zip(panels, temperatures, strict=True):
        rows = result.part(temperature)
        _speed(line[0], rows, colours)
        _positions(line[1], rows, colours)
        _times(line[2], rows)
        line[0].set_title(f"Speed-up, temperature {temperature:g}")
    count = result.part(temperatures[0])[0].figures.prompts
    prompts = f"{count} prompt{'' if count == 1 else 's'}"
    figure.suptitle(f"{result.target}, {prompts}, policy {result.policy}, {result.machine['processor']}", size=11)
    return figure


def _speed(axes: Any, rows: Sequence[Row], colours: dict[str, str]) -> None:
    """Speed-up over acceptance length, with intervals, and the names of those that have none."""
    from matplotlib.patheffects import withStroke

    axes.axhline(1, color="grey", linewidth=1, linestyle="--")
    axes.set(xlabel="acceptance length, tokens per step", ylabel="times as fast as plain decoding")
    comparable = [row for row in rows if row.figures.speedup is not None]
    points = sorted((row.figures.speedup or 0, row.figures.acceptance_length, row.drafter) for row in comparable)
    for row in comparable:
        one, colour = row.figures, colours[row.drafter]
        axes.plot(one.acceptance_length, one.speedup, "o", color=colour, markersize=8)
        if one.speedup_low is not None and row.drafter != PLAIN:
            axes.plot([one.acceptance_length] * 2, [one.speedup_low, one.speedup_high], "_-", color=colour, alpha=0.6)
    axes.margins(x=0.3, y=0.15)
    halo = [withStroke(linewidth=3, foreground="white")]
    for (_, x, name), (height, side) in zip(points, _places(points, axes), strict=True):
        text = f"   {_short(name)}" if side == "left" else f"{_short(name)}   "
        axes.text(x, height, text, color=colours[name], ha=side, va="center", path_effects=halo, zorder=5)
    missing = [
        f"{_short(row.drafter)}: {formatting.speedup(row, row.figures)}" for row in rows if row.figures.speedup is None
    ]
    axes.text(1, 0.02, "\n".join(missing), ha="right", va="bottom", color="grey", size=9, transform=axes.transAxes)


def _places(points: Sequence[tuple[float, float, str]], axes: Any) -> list[tuple[float, str]]:
    """Find a height for the name beside each point, and the side of the name that is near it.

    A name stands at the right, at the left if another point is in its way, above others' names if both sides are taken.
    """
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    line, letter = (high - low) / 18, (right - left) / 48
    places = list[tuple[float, str]]()
    for y, x, name in points:
        wide = (len(_short(name)) + 4) * letter
        others = [(other - x, above - y) for above, other, _ in points if (above, other) != (y, x)]
        near = [across for across, up in others if abs(up) < line and abs(across) < wide]
        side = "right" if near and min(near) >= 0 else "left"
        heights = [
            height
            for (height, of), (_, other, _) in zip(places, points, strict=False)
            if of == side and abs(other - x) < 2 * wide
        ]
        places.append((max([y, *(height + line for height in heights)]), side))
    return places


def _short(name: str) -> str:
    """Leave out the middle of a long name."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST // 2]}…{name[1 - LONGEST // 2 :]}"


def _positions(axes: Any, rows: Sequence[Row], colours: dict[str, str]) -> None:
    axes.set(
        xlabel="drafted token", ylabel="share of steps that accept it", title="Acceptance by position", ylim=(0, 1)
    )
    for row in rows:
        shares = row.figures.acceptance_by_position
        if shares:
            axes.plot(
                range(1, len(shares) + 1),
                shares,
                "o-",
                color=colours[row.drafter],
                label=_short(row.drafter),
                markersize=4,
            )
    axes.xaxis.get_major_locator().set_params(integer=True)
    if axes.lines:
        axes.legend(frameon=False)


def _times(axes: Any, rows: Sequence[Row]) -> None:
    lines = range(len(rows))
    axes.set(xlabel="milliseconds per step", title="Time of a step")
    axes.set_yticks(lines, [_short(row.drafter) for row in rows])
    left = [0.0] * len(rows)
    for part, colour in PARTS:
        widths = [getattr(row.figures, f"{part}_ms") for row in rows]
        axes.barh(lines, widths, left=left, color=colour, label=part, height=0.65)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for line, end in zip(lines, left, strict=True):
        axes.text(end, line, f" {end:.1f}", va="center")
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.legend(frameon=False, loc="best")
