"""All checks: those of specdec itself, then those that plugins bring."""

from collections.abc import Callable, Iterator
from functools import partial

from specdec.doctor.devices import devices
from specdec.doctor.finding import Finding, Status
from specdec.doctor.folders import folders
from specdec.doctor.plugins import Loaded, plugins
from specdec.doctor.products import products
from specdec.doctor.versions import versions

Check = Callable[[], Iterator[Finding]]


def examine() -> Iterator[tuple[str, Finding]]:
    """Run all checks; yield each finding as it is made, with the name of its check.

    A plugin that cannot be loaded and a check that raises are findings, too.
    """
    loaded = Loaded()
    own: dict[str, Check] = {
        "versions": partial(versions, loaded.distributions),
        "devices": devices,
        "processor": products,
        "folders": folders,
        "plugins": partial(plugins, loaded),
    }
    brought = {entry.name: entry.factory for entry in loaded.entries if entry.kind == "check"}
    for name, check in [*own.items(), *brought.items()]:
        for finding in _findings(name, check):
            yield name, finding


def _findings(name: str, check: Check) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        message = f"expected the check to finish, got {type(error).__name__}: {reason}"
        yield Finding(name, Status.FAILED, message)
