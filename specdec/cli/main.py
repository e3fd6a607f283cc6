"""The `specdec` command."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from specdec import __version__
from specdec.cli.audit import audit
from specdec.cli.bench import bench
from specdec.cli.generate import generate
from specdec.cli.methods import MethodCommand
from specdec.cli.plugins import plugins
from specdec.cli.regenerate import regenerate
from specdec.cli.train import train
from specdec.errors import SpecdecError


class Commands(TyperGroup):
    """Turns what specdec raises on purpose into one line on standard error."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SpecdecError as error:
            print(f"specdec: {error}", file=sys.stderr)
            sys.exit(2)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def say_version(asked: bool) -> bool:
    """Print it and leave, whatever else was given."""
    if asked:
        print(f"specdec {__version__}")
        raise typer.Exit
    return asked


VERSION = typer.Option("--version", callback=say_version, is_eager=True, help="Show the version and exit.")


@app.callback(cls=Commands, no_args_is_help=True)
def main(version: Annotated[bool, VERSION] = False) -> None:
    """Makes large language models answer faster without changing what they say."""


app.command()(audit)
app.command()(bench)
app.command()(generate)
app.command()(plugins)
app.command()(regenerate)
app.command(cls=MethodCommand)(train)

if __name__ == "__main__":
    app()
