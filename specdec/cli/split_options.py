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
        help="Cut the line after 50 tokens: what does each drafter say alone? At temperatures 0,1 unless given.",
    ),
]
Split = Annotated[
    bool,
    Option(
        "--split",
        rich_help_panel=PANEL,
        help="Count tokens, trees and bytes on the real protocol, and compute what each drafter makes of them over "
        "links. 64 tokens of each prompt unless given.",
    ),
]
Links = Annotated[str, Option(metavar="NAME,...", rich_help_panel=PANEL, help="Links from near to far.")]
PassMs = Annotated[
    float | None,
    Option(metavar="MS", rich_help_panel=PANEL, help="Milliseconds of a pass of the target; else measured here."),
]
LevelMs = Annotated[
    float | None,
    Option(metavar="MS", rich_help_panel=PANEL, help="Milliseconds of a level of a drafter; else each measured here."),
]
Real = Annotated[
    str | None,
    Option(metavar="NAME", rich_help_panel=PANEL, help="Decode over one of the links in real time too."),
]


@frozen
class SplitOptions:
    """Which experiment is wanted, if any, and the links and times of `--split`."""

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
