"""The `specdec` command."""

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from specdec import __version__
from specdec.cli.audit import audit
from specdec.cli.bench import COLUMNS, bench
from specdec.cli.command import Command
from specdec.cli.doctor import doctor
from specdec.cli.generate import generate
from specdec.cli.methods import MethodCommand
from specdec.cli.plugins import plugins
from specdec.cli.refusal import refusal
from specdec.cli.regenerate import regenerate
from specdec.cli.train import train
from specdec.errors import PluginError


class Commands(TyperGroup):
    """Turns what is refused, by specdec or by the parser, into one line on standard error."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command, and leave with its exit code."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # a terminal may not have the text's characters
        try:
            sys.exit(super().main(*args, **{**kwargs, "standalone_mode": False}))
        except Exception as error:
            line = refusal(error)
            if line is None:
                raise
            print(line, file=sys.stderr)
            sys.exit(2)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _print_version(value: bool) -> bool:
    """Print it and leave, whatever else is on the command line."""
    if value:
        print(f"specdec {__version__}")
        raise typer.Exit
    return value


VERSION = typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")


def _add_command(point: EntryPoint) -> None:
    """Add what a plugin brings, as `specdec serve`; if it cannot be loaded it says so when called, and others work."""
    try:
        app.command(point.name, cls=Command)(point.load())
    except Exception as error:
        reason = f"command {point.name!r} cannot be loaded: {error}; update or uninstall what brings {point.value}"

        @app.command(point.name, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
        def broken() -> None:
            """Cannot be loaded; `specdec doctor` says why."""
            raise PluginError(reason)


@app.callback(cls=Commands, no_args_is_help=True)
def main(version: Annotated[bool, VERSION] = False) -> None:
    """Makes large language models answer faster without changing what they say."""


app.command(cls=Command)(audit)
app.command(cls=Command, epilog=COLUMNS)(bench)
app.command(cls=Command)(doctor)
app.command(cls=Command)(generate)
app.command(cls=Command)(plugins)
app.command(cls=Command)(regenerate)
app.command(cls=MethodCommand)(train)
for point in entry_points(group="specdec.commands"):
    _add_command(point)

if __name__ == "__main__":
    app()
