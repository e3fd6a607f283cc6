"""Write the help texts into commands.md as they are now: `python docs/commands.py`."""

import re
from pathlib import Path

from typer import rich_utils
from typer.testing import CliRunner

from specdec.cli.main import app

PAGE = Path(__file__).parent / "commands.md"
BLOCK = re.compile(r"```console\n\$ (specdec.*?--help)\n.*?```", re.DOTALL)


def help_text(command: str) -> str:
    """What a command prints, 100 columns wide."""
    rich_utils.MAX_WIDTH = 100
    printed = CliRunner().invoke(app, command.split()[1:], prog_name="specdec").stdout
    return "\n".join(line.rstrip() for line in printed.splitlines()).strip()


def renewed(text: str) -> str:
    """Put the help of today into a page's blocks."""
    return BLOCK.sub(lambda block: f"```console\n$ {block[1]}\n{help_text(block[1])}\n```", text)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), encoding="utf-8")
