"""`specdec doctor`: whether specdec, its plugins and this machine fit together."""

import json
from typing import TYPE_CHECKING, Annotated

import typer
from attrs import asdict

if TYPE_CHECKING:
    from rich.console import Console

    from specdec.doctor import Finding

STYLES = {"ok": "green", "info": "dim", "warning": "yellow", "failed": "bold red"}
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object: ok, findings.")]


def doctor(as_json: Json = False) -> None:
    """Check versions, devices, plugins and folders, and what else plugins check; say what to do about each.

    The exit code is 1 if something is broken.
    """
    from rich.console import Console

    from specdec.doctor import Status, examine

    console, rows = Console(), list[tuple[str, "Finding"]]()
    for check, finding in examine():
        if not as_json:
            _show(console, finding, check if not rows or rows[-1][0] != check else None)
        rows.append((check, finding))
    failed = [f"{check}, {finding.name}" for check, finding in rows if finding.status == Status.FAILED]
    if as_json:
        findings = [{"check": check, **asdict(finding)} for check, finding in rows]
        print(json.dumps({"ok": not failed, "findings": findings}, indent=2))
    else:
        console.print(f"broken: {'; '.join(failed)}" if failed else "nothing is broken", markup=False, highlight=False)
    raise typer.Exit(1 if failed else 0)


def _show(console: "Console", finding: "Finding", heading: str | None) -> None:
    """Print one finding as soon as it is there, below the name of its check."""
    from rich.table import Table
    from rich.text import Text

    if heading is not None:
        console.print(Text(heading, "bold"))
    line = Table.grid(padding=(0, 2))
    line.add_column(min_width=9)
    line.add_column(width=24, overflow="fold")
    line.add_column(overflow="fold")
    line.add_row(Text(f"  {finding.status}", STYLES[finding.status]), Text(finding.name), Text(finding.message))
    console.print(line)
