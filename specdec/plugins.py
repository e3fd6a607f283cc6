"""Finds plugins, and makes what they registered."""

import inspect
import os
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from os import PathLike
from pathlib import Path
from typing import Any
from weakref import finalize

import pluggy
from attrs import frozen
from transformers import LogitsProcessor

from specdec import builtin, hookspecs
from specdec.errors import DuplicateName, OptionError, PluginError, SpecdecError, UnknownName
from specdec.interfaces import Drafter, Rule, Transport, TreePolicy, Verifier
from specdec.spec import Spec, as_annotated, fitting, parameters_of

__all__ = [
    "Entry",
    "Plugins",
    "disabled",
    "find_model",
    "load_drafter",
    "load_policy",
    "load_processor",
    "load_rule",
    "load_transport",
    "load_verifier",
    "plugins",
    "processor_spec",
]

DISTRIBUTION = "specdec-kit"
KINDS = {
    "drafter": "register_drafters",
    "verifier": "register_verifiers",
    "policy": "register_policies",
    "transport": "register_transports",
    "rule": "register_rules",
    "model": "register_models",
    "prompts": "register_prompts",
    "method": "register_methods",
    "processor": "register_processors",
    "listener": "register_listeners",
    "check": "register_checks",
}


@frozen
class Entry:
    """Something registered: how to make it, and who brought it."""

    kind: str
    name: str
    factory: Callable[..., Any]
    distribution: str


class Plugins:
    """All plugins that are loaded, and what they registered."""

    def __init__(
        self, group: str = "specdec", on_broken: Callable[[EntryPoint, Exception], None] | None = None
    ) -> None:
        """Load the built-ins and every entry point of the group that `SPECDEC_DISABLED_PLUGINS` does not name.

        With `on_broken`, a plugin that cannot be loaded is left out, and the function is told why.

        Raises:
            PluginError: a plugin does not load, implements an unknown hook, or takes a name that is taken.
        """
        self.manager = pluggy.PluginManager("specdec")
        self.manager.add_hookspecs(hookspecs)
        self._entries: dict[tuple[str, str], Entry] = {}
        self.add(builtin, "specdec", DISTRIBUTION)
        left_out = disabled()
        for point in entry_points(group=group):
            if point.name in left_out:
                continue
            try:
                self.add(_load(point), point.name, point.dist.name if point.dist else point.value)
            except Exception as error:
                if on_broken is None:
                    raise
                on_broken(point, error)

    @property
    def hook(self) -> pluggy.HookRelay:
        """Where events are sent."""
        return self.manager.hook

    @property
    def entries(self) -> list[Entry]:
        """All that is registered, by kind and name."""
        return sorted(self._entries.values(), key=lambda entry: (list(KINDS).index(entry.kind), entry.name))

    def add(self, plugin: object, name: str, distribution: str = "") -> None:
        """Take in one plugin: a module or an object with hooks. If it does not fit, nothing of it stays."""
        if self.manager.has_plugin(name):
            raise DuplicateName(f"two plugins are called {name!r}; the second is from {distribution or 'this process'}")
        before = dict(self._entries)
        try:
            self.manager.register(plugin, name)
            self.manager.check_pending()
            others = [other for other in self.manager.get_plugins() if other is not plugin]
            for kind, hook in KINDS.items():
                caller = self.manager.subset_hook_caller(hook, others)
                caller(register=partial(self._register, kind, distribution or name))
        except BaseException as error:
            self._entries = before
            if self.manager.is_registered(plugin):
                self.manager.unregister(plugin)
            if isinstance(error, pluggy.PluginValidationError):
                reason = " ".join(str(error).split())
                raise PluginError(f"plugin {name!r} has a hook that specdec does not know: {reason}") from error
            raise

    def remove(self, plugin: object) -> None:
        """Stop sending events to a plugin; what it registered stays until the process ends."""
        self.manager.unregister(plugin)

    def entry(self, kind: str, name: str) -> Entry:
        """Find what is registered under a name.

        Raises:
            UnknownName: nothing is; the message lists what is.
        """
        entry = self._entries.get((kind, name))
        if entry is None:
            known = ", ".join(sorted(other for of, other in self._entries if of == kind)) or "none"
            raise UnknownName(f"no {kind} is called {name!r}; there are: {known}")
        return entry

    def make(self, kind: str, spec: str, parts: dict[str, Any], options: dict[str, Any]) -> Any:
        """Call a factory with those of `parts` that it names, and with all options: those of the spec, and `options`.

        Raises:
            UnknownName: nothing is registered under that name.
            OptionError: an option that the factory does not take or cannot use, or a missing one.
        """
        parsed = Spec.parse(spec)
        name, entry = parsed.name, self.entry(kind, parsed.name)
        parameters = parameters_of(entry.factory)
        options = self.options(kind, parsed, options)
        parts = parts | {"path": self.folder(_path(parts.get("path"), parsed, kind))}
        names = ", ".join(name for name in parameters if name not in parts) or "none"
        if parts["path"] is not None and "path" not in parameters:
            raise OptionError(f"{kind} {name!r} takes no path, got {parts['path']!r}; its options are: {names}")
        unknown = [option for option in options if option not in parameters]
        if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            raise OptionError(f"{kind} {name!r} has no option {unknown[0]!r}; there are: {names}")
        arguments = {key: value for key, value in parts.items() if key in parameters and value is not None} | options
        missing = [key for key, parameter in parameters.items() if key not in arguments and _required(parameter)]
        if missing:
            raise OptionError(f"{kind} {name!r} needs {missing[0]!r}, got none")
        try:
            return entry.factory(**arguments)
        except (TypeError, ValueError) as error:
            if isinstance(error, SpecdecError) or not options:
                raise
            reason = str(error).partition("\n")[0]
            raise OptionError(f"{kind} {name!r} cannot be made with {options}: {reason}") from error

    def options(self, kind: str, spec: Spec, more: dict[str, Any]) -> dict[str, Any]:
        """Read the options of a spec as its factory takes them; those of `more` are values already.

        Raises:
            UnknownName: nothing is registered under that name.
            OptionError: an option has a value that the factory cannot use.
        """
        parameters = parameters_of(self.entry(kind, spec.name).factory)
        read = {key: as_annotated(text, parameters.get(key)) for key, text in spec.options.items()} | more
        whose = f"{kind} {spec.name!r}"
        return {key: fitting(whose, key, value, parameters.get(key)) for key, value in read.items()}

    def folder(self, name: Any) -> Any:
        """Give the folder of a registered model; anything else is a folder, or a name on the hub, already."""
        entry = self._entries.get(("model", name))
        folder = name if entry is None else entry.factory()
        return str(folder) if isinstance(folder, PathLike) else folder

    def _register(self, kind: str, distribution: str, name: str, factory: Callable[..., Any]) -> None:
        earlier = self._entries.get((kind, name))
        if earlier is not None:
            raise DuplicateName(
                f"{kind} {name!r} is registered by {earlier.distribution} and by {distribution}; "
                f"set SPECDEC_DISABLED_PLUGINS to the one to leave out"
            )
        self._entries[kind, name] = Entry(kind, name, factory, distribution)


def disabled() -> set[str]:
    """List the plugins that `SPECDEC_DISABLED_PLUGINS` leaves out."""
    names = os.environ.get("SPECDEC_DISABLED_PLUGINS", "").split(",")
    return {name.strip() for name in names if name.strip()}


def _path(given: str | PathLike[str] | None, spec: Spec, kind: str) -> str | PathLike[str] | None:
    """Give the path, which is given or in the spec.

    Raises:
        OptionError: there are two.
    """
    if given and spec.path and Path(given) != Path(spec.path):
        raise OptionError(f"expected one path for {kind} {spec.name!r}, got {spec.path!r} and {str(given)!r}")
    return given or spec.path


def _required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind in (
        parameter.POSITIONAL_OR_KEYWORD,
        parameter.KEYWORD_ONLY,
    )


def _load(point: EntryPoint) -> object:
    try:
        return point.load()
    except Exception as error:
        raise PluginError(
            f"plugin {point.name!r} cannot be loaded: {error}; SPECDEC_DISABLED_PLUGINS={point.name} leaves it out"
        ) from error


@cache
def plugins() -> Plugins:
    """Load the plugins, once per process."""
    return Plugins()


def find_model(name: str) -> str:
    """Give the folder of a registered model; any other name stays as it is, for a folder or for the hub."""
    return str(plugins().folder(name))


def load_drafter(
    name: str, path: str | PathLike[str] | None = None, target: Verifier | None = None, **options: Any
) -> Drafter:
    """Make a registered drafter, from a checkpoint if it takes one, for a target if it reads one.

    Here as in the functions below, the name may be a spec: `name[:path][:key=value,...]`.
    """
    drafter: Drafter = plugins().make("drafter", name, {"path": path, "target": target}, options)
    return drafter


def load_verifier(
    name: str, path: str | PathLike[str] | None = None, rule: Rule | None = None, **options: Any
) -> Verifier:
    """Make a registered verifier."""
    verifier: Verifier = plugins().make("verifier", name, {"path": path, "rule": rule}, options)
    return verifier


def load_policy(name: str, **options: Any) -> TreePolicy:
    """Make a registered tree policy."""
    policy: TreePolicy = plugins().make("policy", name, {}, options)
    return policy


def load_transport(name: str, address: str, **options: Any) -> Transport:
    """Make a registered transport."""
    transport: Transport = plugins().make("transport", name, {"address": address}, options)
    return transport


def load_rule(name: str, **options: Any) -> Rule:
    """Make a registered acceptance rule."""
    rule: Rule = plugins().make("rule", name, {}, options)
    return rule


def load_processor(name: str, **options: Any) -> LogitsProcessor:
    """Make a registered processor of logits; a target that is elsewhere makes its own by the same name and options."""
    processor: LogitsProcessor = plugins().make("processor", name, {}, options)
    parsed = Spec.parse(name)
    _SPECS[id(processor)] = parsed.name, plugins().options("processor", parsed, options)
    finalize(processor, _SPECS.pop, id(processor), None)  # or already gone, if it was made twice
    return processor


def processor_spec(processor: LogitsProcessor) -> tuple[str, dict[str, Any]] | None:
    """Give name and options of a processor that `load_processor` made; None of any other."""
    return _SPECS.get(id(processor))


_SPECS: dict[int, tuple[str, dict[str, Any]]] = {}
