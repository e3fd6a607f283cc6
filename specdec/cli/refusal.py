"""What is refused, by specdec or by the parser of the command line, in one line."""

from typing import Any

from specdec.errors import SpecdecError


def refusal(error: Exception) -> str | None:
    """Give the line; None for a fault, which is to be shown whole."""
    if isinstance(error, SpecdecError):
        return f"specdec: {' '.join(str(error).splitlines())}"
    if hasattr(error, "format_message"):  # the parser's; typer has no name for their class
        return _misuse(error)
    return None


def _misuse(error: Any) -> str:
    """Say what is wrong with the arguments, and what was given."""
    command = error.ctx.command_path if error.ctx else "specdec"
    message = " ".join(error.format_message().splitlines()).rstrip(".") or "expected a command"
    values = [problem["input"] for problem in getattr(error.__cause__, "errors", list)()]
    given = f", got {values[0]!r}" if values else ""
    return f"{command}: {message[:1].lower()}{message[1:]}{given} (see {command} --help)"
