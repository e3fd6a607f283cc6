"""What hears of one decoder's steps alone, beside the hooks that hear of all in the process."""

from collections.abc import Iterable
from typing import Any

import pluggy

from specdec import hookspecs
from specdec.errors import OptionError
from specdec.kinds import check_kind

EVENTS = ("on_begin", "on_step", "on_end")


class _Observers(pluggy.PluginManager):
    """Takes methods by their names: an observer needs no marks."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        return {} if name in EVENTS else None


def observe(observers: Iterable[object]) -> pluggy.HookRelay:
    """Make a relay to objects that have any of the event hooks as methods, each with the arguments it names.

    Raises:
        OptionError: one has none of them, names an argument that there is not, or is given twice.
    """
    check_kind(observers, Iterable, "a list of observers")
    manager = _Observers("specdec")
    manager.add_hookspecs(hookspecs)
    for observer in observers:
        try:
            manager.register(observer)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise OptionError(f"expected an observer that specdec can call, got {observer!r}: {error}") from error
        if not manager.get_hookcallers(observer):
            raise OptionError(f"expected an observer with any of {', '.join(EVENTS)}, got {observer!r}")
    return manager.hook
