"""How something registered is written in one line, as on the command line: its name, path and options."""

import re
from typing import Any

from attrs import frozen

from specdec.errors import OptionError

OPTIONS = re.compile(r"\w+=[^,]*(,\s*\w+=[^,]*)*")


@frozen
class Spec:
    """`name[:path][:key=value,...]`; values are numbers, true, false, or text."""

    text: str
    name: str
    path: str | None
    options: dict[str, Any]

    @classmethod
    def parse(cls, text: str) -> "Spec":
        """Tell name, path and options apart; a path may have colons of its own.

        Raises:
            OptionError: there is no name.
        """
        name, _, rest = text.partition(":")
        if not name:
            raise OptionError(f"expected NAME[:PATH][:key=value,...], got {text!r}")
        path, _, options = rest.rpartition(":")
        if not OPTIONS.fullmatch(options):
            path, options = rest, ""
        pairs = [part.partition("=") for part in options.split(",") if part]
        return cls(text, name, path or None, {key.strip(): _value(value.strip()) for key, _, value in pairs})


def split(text: str) -> list[str]:
    """Split a list of specs at its commas; a bare `key=value` belongs to the spec before it."""
    parts = list[str]()
    for part in map(str.strip, text.split(",")):
        if parts and OPTIONS.fullmatch(part):
            parts[-1] += f",{part}"
        else:
            parts.append(part)
    return parts


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
