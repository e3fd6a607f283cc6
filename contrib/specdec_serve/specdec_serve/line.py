"""A client's WebSocket on the server, which an event loop serves, so that the server's thread never waits for it."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from attrs import define, field
from starlette.websockets import WebSocket, WebSocketDisconnect

from specdec.remote import Host
from specdec.split import Connection

WAITING = 2**24
"""Most bytes that may wait to be sent; beyond them the line is closed, and its sessions stay for a while."""


@define(eq=False)
class Line:
    """Carries messages between a socket and the server in another thread; `frame_bytes` counts them by direction.

    `admitted` says for each message whether the tenant is still authorised; if not, the line ends.
    """

    host: Host
    socket: WebSocket
    tenant: str
    frame_bytes: Any
    admitted: Callable[[], bool] = lambda: True
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop, init=False)
    _ahead: asyncio.Semaphore = field(init=False)
    _leaving: deque[bytes] = field(factory=deque, init=False)
    _news: asyncio.Event = field(factory=asyncio.Event, init=False)
    _waiting: int = field(default=0, init=False)
    _open: bool = field(default=True, init=False)

    def __attrs_post_init__(self) -> None:
        self._ahead = asyncio.Semaphore(self.host.ahead)

    async def serve(self) -> None:
        """Serve the line until it breaks."""
        connection, server = Connection(self._send, self.tenant), self.host.server
        self.host.submit(lambda: server.connect(connection))
        writer = asyncio.create_task(self._write())

        def take(data: bytes) -> None:
            try:
                server.receive(connection, data)
            finally:
                self._call(self._release, self.host.weigh(data))

        try:
            while (data := await self._read()) is not None and self.admitted():
                for _ in range(self.host.weigh(data)):
                    await self._ahead.acquire()
                self.host.submit(lambda data=data: take(data))  # type: ignore[misc]
        finally:
            self.host.submit(lambda: server.disconnect(connection))
            self._end()
            await writer

    async def _read(self) -> bytes | None:
        """Wait for a message; None at the end of the line, and for text, which is not of the protocol."""
        try:
            message = await self.socket.receive()
        except (RuntimeError, WebSocketDisconnect):  # the writer has closed it
            return None
        data: bytes | None = message.get("bytes")
        self.frame_bytes(direction="up").inc(len(data or b""))
        return data if self._open else None

    def _release(self, count: int) -> None:
        for _ in range(count):
            self._ahead.release()

    def _send(self, data: bytes) -> None:
        """Queue a message; called by the server's thread."""
        self._call(self._queue, data)

    def _call(self, act: Any, *args: Any) -> None:
        with suppress(RuntimeError):  # the loop has ended, and so has the line
            self._loop.call_soon_threadsafe(act, *args)

    def _queue(self, data: bytes) -> None:
        if not self._open:
            return
        self._leaving.append(data)
        self._waiting += len(data)
        if self._waiting > WAITING:
            self._leaving.clear()
            self._end()
        self._news.set()

    def _end(self) -> None:
        self._open = False
        self._news.set()

    async def _write(self) -> None:
        with suppress(WebSocketDisconnect, RuntimeError, OSError):
            while self._open:
                await self._news.wait()
                self._news.clear()
                while self._leaving and self._open:
                    data = self._leaving.popleft()
                    await self.socket.send_bytes(data)
                    self.frame_bytes(direction="down").inc(len(data))
                    self._waiting -= len(data)
            await self.socket.close()
