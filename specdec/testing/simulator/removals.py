"""Mechanisms of the protocol, taken out one at a time: a simulator that finds nothing then would prove nothing."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from specdec.errors import OptionError
from specdec.remote import Failover
from specdec.split.client import Client
from specdec.split.messages import Verified, Verify, unpack_tokens
from specdec.split.record import Connection, Record, Waiting
from specdec.split.server import Server
from specdec.split.text import RemoteText

Change = tuple[type, str, Callable[..., Any]]
"""What takes the place of a method."""


def _always(self: object, *_: object) -> bool:
    return True


def _never(self: object, *_: object) -> bool:
    return False


def _take_any(self: RemoteText, message: Verified) -> bool:
    """Take an answer without a look at the text that it continues."""
    self.answered, self.asked = [*self.answered, *unpack_tokens(message.tokens)], None
    return True


class _Queue:
    """What a server does that has every step wait, whether it waits already or not: it comes twice."""

    enqueue, tick = Server._enqueue, Server.tick

    def __init__(self) -> None:
        self._later: dict[Record, Waiting] = {}

    def changes(self) -> list[Change]:
        """Give what takes the place of the server's own methods."""
        return [
            (Server, "in_flight", _never),
            (Server, "_enqueue", lambda *arguments: self._enqueue(*arguments)),
            (Server, "tick", lambda server: self._tick(server)),
        ]

    def _enqueue(self, server: Server, connection: Connection, message: Verify, record: Record) -> None:
        first = record.waiting
        _Queue.enqueue(server, connection, message, record)
        if first is not None and record.waiting is not None:
            self._later[record], record.waiting = record.waiting, first

    def _tick(self, server: Server) -> bool:
        worked = _Queue.tick(server)
        for record in [record for record in server.store if record in self._later and record.waiting is None]:
            record.waiting, worked = self._later.pop(record), True
        return worked


_init = Failover.__init__


def _init_keeping(self: Failover, *arguments: Any, **options: Any) -> None:
    """Keep what was said alone, though the caller did not choose that."""
    _init(self, *arguments, **options | {"keep": True})


MECHANISMS: dict[str, Callable[[], list[Change]]] = {
    "in-flight": lambda: _Queue().changes(),
    "base-hash": lambda: [(Server, "follows", _always), (RemoteText, "take_answer", _take_any)],
    "epoch": lambda: [(Server, "stale", _never)],
    "step-check": lambda: [(Client, "current", _always), (RemoteText, "take_answer", _take_any)],
    "offline-verification": lambda: [(Failover, "__init__", _init_keeping)],
}
"""What is taken out, by name."""


@contextmanager
def without(mechanism: str | None) -> Iterator[None]:
    """Take out a mechanism, or none, for a while.

    Raises:
        OptionError: there is none of this name.
    """
    if mechanism is not None and mechanism not in MECHANISMS:
        raise OptionError(f"expected a mechanism of {', '.join(MECHANISMS)}, got {mechanism!r}")
    with ExitStack() as changes:
        for owner, name, change in MECHANISMS[mechanism]() if mechanism is not None else []:
            changes.enter_context(patch.object(owner, name, change))
        yield
