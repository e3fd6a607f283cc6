"""A line whose client reads no more is given up."""

import asyncio
from typing import Any
from unittest.mock import Mock

from specdec_serve.line import WAITING, Line

from specdec.split import Connection

MESSAGE = bytes(2**20)


class StuckSocket:
    """Neither end does anything, until `over`."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.over.wait()
        return {"type": "websocket.disconnect"}

    async def send_bytes(self, data: bytes) -> None:
        await self.over.wait()

    async def close(self) -> None:
        pass


class IdleHost:
    """A host and its server, which knows one connection."""

    connection: Connection
    ahead = 5

    def weigh(self, data: bytes) -> int:
        return 1 + len(data)

    @property
    def server(self) -> "IdleHost":
        return self

    def submit(self, work: Any) -> None:
        work()

    def connect(self, connection: Connection) -> None:
        self.connection = connection

    def disconnect(self, connection: Connection) -> None:
        del self.connection

    def receive(self, connection: Connection, data: bytes) -> None:
        pass


class BusyHost(IdleHost):
    """A host that does no work until it is told to; `work` has what waits."""

    def __init__(self) -> None:
        self.work = list[Any]()

    def submit(self, work: Any) -> None:
        self.work.append(work)


class FullSocket(StuckSocket):
    """A socket by which one byte after the other comes, until `over`."""

    async def receive(self) -> dict[str, Any]:
        if self.over.is_set():
            return {"type": "websocket.disconnect"}
        return {"type": "websocket.receive", "bytes": b"x"}


def test_nothing_waits_for_a_line_that_was_given_up() -> None:
    async def scene() -> None:
        host, socket = IdleHost(), StuckSocket()
        line = Line(host, socket, "", Mock())  # type: ignore[arg-type]
        serving = asyncio.ensure_future(line.serve())
        await asyncio.sleep(0)
        most = 0
        for _ in range(3 * WAITING // len(MESSAGE)):
            host.connection.send(MESSAGE)
            await asyncio.sleep(0)
            most = max(most, sum(map(len, line._leaving)))
        assert WAITING // 2 < most <= WAITING
        assert not line._leaving
        socket.over.set()
        await serving

    asyncio.run(scene())


def test_a_line_is_read_while_few_messages_wait() -> None:
    """Each weighs 2 of the 5 that may wait; one is read as soon as another was handled, not before."""

    async def scene() -> None:
        host, socket = BusyHost(), FullSocket()
        line = Line(host, socket, "", Mock())  # type: ignore[arg-type]
        serving = asyncio.ensure_future(line.serve())
        for handled in range(3):
            await settle()
            assert len(host.work) == 1 + 2 + handled
            host.work[1 + handled]()
        socket.over.set()
        await settle()
        await serving

    async def settle() -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    asyncio.run(scene())
