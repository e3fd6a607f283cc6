"""Drafters as they are written on the command line: `NAME[:PATH][:k=v,...]`."""

import re
from typing import Any

from attrs import frozen

from specdec.errors import ModelError, OptionError
from specdec.plugins import parse, plugins

ZOO = {
    "small_model": "zoo-draft",
    "hf-assisted": "zoo-draft",
    "moa": "zoo-moa",
    "moa:tli=1": "zoo-moa-tli1",
    "eagle": "zoo-eagle",
    "eagle3": "zoo-eagle3",
    "medusa": "zoo-medusa",
}
"""What a drafter without a path loads for the zoo's target; `NAME:k=v` goes before `NAME`."""

OPTIONS = re.compile(r"\w+=[^,]*(,\s*\w+=[^,]*)*")


@frozen
class Wanted:
    """A drafter that is asked for, as it was `written`; `path` is where its model is, if it has one."""

    written: str
    name: str
    path: str | None
    options: dict[str, Any]


def read(written: str, zoo: bool = False) -> Wanted:
    """Read `NAME`, `NAME:PATH`, `NAME:k=v,...` or `NAME:PATH:k=v,...`; for the zoo's target, fill in its own models.

    Raises:
        OptionError: there is no name.
        ModelError: the zoo has a model for this drafter, but not the zoo that is installed.
    """
    name, _, rest = written.partition(":")
    if not name:
        raise OptionError(f"expected a drafter as NAME[:PATH][:k=v,...], got {written!r}")
    path, _, options = rest.rpartition(":")
    if not OPTIONS.fullmatch(options):
        path, options = rest, ""
    chosen = parse(f"{name}:{options}")[1]
    return Wanted(written, name, path or (_zoo_model(name, chosen) if zoo else None), chosen)


def split(written: str) -> list[str]:
    """Split a list of drafters at its commas; a bare `k=v` belongs to the drafter before it."""
    parts = list[str]()
    for part in written.split(","):
        if parts and OPTIONS.fullmatch(part.strip()):
            parts[-1] += f",{part.strip()}"
        else:
            parts.append(part.strip())
    return parts


def _zoo_model(name: str, options: dict[str, Any]) -> str | None:
    keys = [*(f"{name}:{key}={value}" for key, value in options.items()), name]
    model = next((ZOO[key] for key in keys if key in ZOO), None)
    known = {(entry.kind, entry.name) for entry in plugins().entries}
    if ("drafter", name) in known and model is not None and ("model", model) not in known:
        raise ModelError(f"expected a model for {name!r}, as {name}:PATH; the zoo that is installed has no {model!r}")
    return model
