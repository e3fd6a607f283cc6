"""`specdec plugins`: what is registered."""

import json
from typing import Annotated

from typer import Option

Json = Annotated[bool, Option("--json", help="Print one JSON object: kind, name, distribution.")]


def plugins(as_json: Json = False) -> None:
    """List what is registered, by kind, and which distribution brought it."""
    from rich.console import Console
    from rich.table import Table

    from specdec.plugins import KINDS
    from specdec.plugins import plugins as load_plugins

    entries = load_plugins().entries
    if as_json:
        by_kind = {kind: {entry.name: entry.distribution for entry in entries if entry.kind == kind} for kind in KINDS}
        print(json.dumps(by_kind, indent=2))
        return
    table = Table("kind", "name", "from", box=None)
    for entry in entries:
        table.add_row(entry.kind, entry.name, entry.distribution)
    Console().print(table)
