"""`specdec plugins`: what is registered."""

import json
from typing import Annotated

import typer


def plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object: kind, name, distribution.")] = False,
) -> None:
    """List what is registered, by kind, and which distribution brought it."""
    from specdec.cli.show import plugin_table
    from specdec.plugins import KINDS
    from specdec.plugins import plugins as loaded

    entries = loaded().entries
    if as_json:
        by_kind = {kind: {entry.name: entry.distribution for entry in entries if entry.kind == kind} for kind in KINDS}
        print(json.dumps(by_kind, indent=2))
    else:
        plugin_table(entries)
