"""The `specdec` command."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

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


app = typer.Typer(
    cls=Commands,
    help="Makes large language models answer faster without changing what they say.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(audit)
app.command()(bench)
app.command()(generate)
app.command()(plugins)
app.command()(regenerate)
app.command(cls=MethodCommand)(train)

if __name__ == "__main__":
    app()
