"""The plugins that are installed: whether they load, and what they bring."""

from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version

from attrs import define, field

from specdec.doctor.finding import Finding, Status
from specdec.errors import PluginError
from specdec.plugins import Entry, Plugins, disabled

COMMANDS = "specdec.commands"
"""The entry points that are commands."""


@define(eq=False)
class Loaded:
    """All plugins that can be loaded, and why others cannot."""

    broken: dict[str, Exception] = field(factory=dict)
    entries: Sequence[Entry] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.entries = Plugins(on_broken=self._on_broken).entries

    @property
    def distributions(self) -> list[str]:
        """Those that brought something."""
        return list(dict.fromkeys(entry.distribution for entry in self.entries))

    def _on_broken(self, point: EntryPoint, error: Exception) -> None:
        self.broken[point.name] = error


def plugins(loaded: Loaded) -> Iterator[Finding]:
    """Say what each distribution brings, and what cannot be loaded."""
    for name, error in loaded.broken.items():
        remedy = "" if "SPECDEC_DISABLED_PLUGINS" in str(error) else f"; SPECDEC_DISABLED_PLUGINS={name} leaves it out"
        yield Finding(name, Status.FAILED, f"expected a plugin, got {_reason(error)}{remedy}")
    for name in sorted(disabled()):
        yield Finding(name, Status.INFO, "left out, as SPECDEC_DISABLED_PLUGINS says")
    for distribution in loaded.distributions:
        yield Finding(_named(distribution), Status.OK, _brought(loaded.entries, distribution))
    for point in entry_points(group=COMMANDS):
        yield _command(point)


def _named(distribution: str) -> str:
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:  # an entry point without one, or a plugin of this process
        return distribution


def _brought(entries: Sequence[Entry], distribution: str) -> str:
    names = dict[str, list[str]]()
    for entry in entries:
        if entry.distribution == distribution:
            names.setdefault(entry.kind, []).append(entry.name)
    return "; ".join(f"{kind} {', '.join(of_kind)}" for kind, of_kind in names.items())


def _command(point: EntryPoint) -> Finding:
    name, source = f"specdec {point.name}", point.dist.name if point.dist else point.value
    try:
        point.load()
    except Exception as error:
        message = f"expected a command, got {_reason(error)}; update or uninstall {source}"
        return Finding(name, Status.FAILED, message)
    return Finding(name, Status.OK, f"from {source}")


def _reason(error: Exception) -> str:
    reason = " ".join(str(error).split())
    return reason if isinstance(error, PluginError) else f"{type(error).__name__}: {reason}"
