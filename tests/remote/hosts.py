"""Servers in this process, for tests."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import specdec_zoo
import torch

from specdec import Drafter, Target, Transport, load_drafter
from specdec.errors import ConnectionLost, TimedOut
from specdec.remote import Host
from specdec.split import Server
from specdec.split.record import Connection
from tests.toys import build

KINDS = ("moa", "moa-tli1", "eagle", "eagle3", "medusa", "small_model", "ngram", "none")


def drafter(kind: str, target: Target) -> Drafter:
    """Load a drafter of the zoo's."""
    if kind in ("ngram", "none"):
        return load_drafter(kind)
    if kind == "small_model":
        return load_drafter(kind, specdec_zoo.path("draft"))
    return load_drafter(kind.split("-")[0], specdec_zoo.path(kind), target=target)


def toy(**options: Any) -> Target:
    return Target(build("llama", dtype=torch.float64, seed=1, initializer_range=0.3, **options))


@contextmanager
def hosting(target: Target, *drafters: Drafter, **options: Any) -> Iterator[Host]:
    host = Host(Server.of(target, drafters, **options))
    try:
        yield host
    finally:
        host.close()


class Inline(Transport):
    """A line to a server that takes its turns while the client waits; `cut` makes it break, `mute` swallow all."""

    def __init__(self, server: Server) -> None:
        self.server, self.arrived = server, deque[bytes]()
        self.up = self.down = 0
        self.cut = self.mute = False
        self.connection = Connection(self._arrive, "")
        server.connect(self.connection)

    def send(self, message: bytes) -> None:
        self._check()
        self.up += len(message)
        if not self.mute:
            self.server.receive(self.connection, message)

    def receive(self, timeout: float | None = None) -> bytes:
        self._check()
        while not self.arrived:
            if self.mute or not self.server.tick():
                raise TimedOut("nothing came")
        message = self.arrived.popleft()
        self.down += len(message)
        return message

    def close(self) -> None:
        self.cut = True
        self.server.disconnect(self.connection)

    def _arrive(self, message: bytes) -> None:
        if not self.mute:
            self.arrived.append(message)

    def _check(self) -> None:
        if self.cut:
            raise ConnectionLost("the line is cut")


class Lines:
    """Makes lines to a server, the last of which can be cut; while `out`, none can be made. Time passes by the line."""

    def __init__(self, server: Server) -> None:
        self.server, self.made, self.out = server, list[Inline](), False
        self.now = self.back = 0.0

    def connect(self) -> Transport:
        if self.out or self.now < self.back:
            raise ConnectionLost("out of reach")
        self.made.append(Inline(self.server))
        return self.made[-1]

    def cut(self, seconds: float | None = None) -> None:
        """Break the last line; for some seconds, or for good, there is no other."""
        self.made[-1].cut = True
        self.out, self.back = seconds is None, self.now + (seconds or 0)

    def clock(self) -> float:
        self.now += 0.05
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
