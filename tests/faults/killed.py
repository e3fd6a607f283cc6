"""A server in a process of its own, which kills itself at a point of its third step."""

import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from threading import Event
from typing import Any

from specdec.split import Limits, Server
from specdec.split.messages import Verify, read_from_client
from specdec.target.sessions import Sessions
from tests.faults.services import SERVE
from tests.remote.hosts import toy

THIRD = 3
POINTS = ("before it is received", "in flight", "executing")


def serve(kind: str, point: str, pipe: Connection) -> None:
    """Serve a toy by a transport until it ends; says which port."""
    if point in POINTS:
        _prepare(point)
    with SERVE[kind](toy(), Limits()) as (_, port):
        pipe.send(port)
        Event().wait()


def _prepare(point: str) -> None:
    """Have the third step be the last."""
    count, receive, verify = [0], Server.receive, Sessions.verify

    def received(server: Server, connection: Any, data: bytes) -> None:
        count[0] += isinstance(read_from_client(data), Verify)
        if count[0] == THIRD and point == "before it is received":
            _die()
        receive(server, connection, data)
        if count[0] == THIRD and point == "in flight":
            _die()

    def verified(sessions: Sessions, *arguments: Any) -> Any:
        decisions = verify(sessions, *arguments)
        if count[0] == THIRD and point == "executing":
            _die()
        return decisions

    changes: list[tuple[type, str, Callable[..., Any]]] = [
        (Server, "receive", received),
        (Sessions, "verify", verified),
    ]
    for owner, name, change in changes:
        setattr(owner, name, change)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
