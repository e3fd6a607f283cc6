"""The options of `specdec bench` for experiments with a split target."""

from typing import Annotated

from attrs import frozen
from typer import Context, Option

PANEL = "A split target"
Disconnect = Annotated[
    bool,
    Option(
        "--disconnect",
        rich_help_panel=PANEL,
        help="Cut the connection after 50 tokens, and compare what each drafter generates alone. "
        "Temperatures 0,1 by default.",
    ),
]
Split = Annotated[
    bool,
    Option(
        "--split",
        rich_help_panel=PANEL,
        help="Count tokens, trees and bytes on the real protocol, and compute each drafter's speed over network links. "
        "64 tokens of each prompt by default.",
    ),
]
Links = Annotated[str, Option(metavar="NAME,...", rich_help_panel=PANEL, help="The links, from near to far.")]
PassMs = Annotated[
    float | None,
    Option(metavar="MS", rich_help_panel=PANEL, help="Milliseconds of a pass of the target; default: measured."),
]
LevelMs = Annotated[
    float | None,
    Option(
        metavar="MS", rich_help_panel=PANEL, help="Milliseconds of a level of a drafter; default: measured for each."
    ),
]
Real = Annotated[
    str | None,
    Option(metavar="NAME", rich_help_panel=PANEL, help="Also decode over one of the links in real time."),
]


@frozen
class SplitOptions:
    """The choice of an experiment, and the links and times of `--split`."""

    disconnect: Disconnect = False
    split: Split = False
    links: Links = "wifi,cities,5g,4g,weak"
    pass_ms: PassMs = None
    level_ms: LevelMs = None
    real: Real = None


def given(context: Context) -> set[str]:
    """Name the options that are on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if getattr(source, "name", "") == "COMMANDLINE"}
