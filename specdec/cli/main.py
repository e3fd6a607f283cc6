"""The `specdec` command."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from specdec import __version__
from specdec.cli.audit import audit
from specdec.cli.bench import bench
from specdec.cli.command import Command
from specdec.cli.generate import generate
from specdec.cli.methods import MethodCommand
from specdec.cli.regenerate import regenerate
from specdec.cli.train import train
from specdec.errors import SpecdecError
from specdec.plugins import KINDS
from specdec.plugins import plugins as load_plugins


class Commands(TyperGroup):
    """Turns what specdec raises on purpose into one line on standard error."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SpecdecError as error:
            print(f"specdec: {error}", file=sys.stderr)
            sys.exit(2)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _print_version(value: bool) -> bool:
    """Print it and leave, whatever else is on the command line."""
    if value:
        print(f"specdec {__version__}")
        raise typer.Exit
    return value


VERSION = typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")


@app.callback(cls=Commands, no_args_is_help=True)
def main(version: Annotated[bool, VERSION] = False) -> None:
    """Makes large language models answer faster without changing what they say."""


def plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object: kind, name, distribution.")] = False,
) -> None:
    """List what is registered, by kind, and which distribution brought it."""
    entries = load_plugins().entries
    if as_json:
        by_kind = {kind: {entry.name: entry.distribution for entry in entries if entry.kind == kind} for kind in KINDS}
        print(json.dumps(by_kind, indent=2))
        return
    table = Table("kind", "name", "from", box=None)
    for entry in entries:
        table.add_row(entry.kind, entry.name, entry.distribution)
    Console().print(table)


app.command(cls=Command)(audit)
app.command(cls=Command)(bench)
app.command(cls=Command)(generate)
app.command(cls=Command)(plugins)
app.command(cls=Command)(regenerate)
app.command(cls=MethodCommand)(train)

if __name__ == "__main__":
    app()
