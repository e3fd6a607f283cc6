"""A client's line on the server: an event loop carries it, and the server's thread never waits for it."""

import asyncio
from collections import deque

from attrs import define, field
from starlette.websockets import WebSocket, WebSocketDisconnect

from specdec.remote import Host
from specdec.split import Connection

WAITING = 2**24
"""Bytes that may wait for a client who does not read; then the line is cut, and its sessions stay for a while."""


@define(eq=False)
class Line:
    """Carries messages between a socket and a server that another thread runs."""

    host: Host
    socket: WebSocket
    tenant: str
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop, init=False)
    _leaving: deque[bytes] = field(factory=deque, init=False)
    _news: asyncio.Event = field(factory=asyncio.Event, init=False)
    _waiting: int = field(default=0, init=False)
    _open: bool = field(default=True, init=False)

    async def serve(self) -> None:
        """Serve the line until it breaks."""
        connection = Connection(self._send, self.tenant)
        self.host.submit(lambda: self.host.server.connect(connection))
        writer = asyncio.create_task(self._write())
        try:
            while self._open:
                data = await self.socket.receive_bytes()
                self.host.submit(lambda data=data: self.host.server.receive(connection, data))  # type: ignore[misc]
        except WebSocketDisconnect:
            pass
        finally:
            self._end()
            self.host.submit(lambda: self.host.server.disconnect(connection))
            await writer

    def _send(self, data: bytes) -> None:
        """Take a message from the server's thread."""
        self._loop.call_soon_threadsafe(self._queue, data)

    def _queue(self, data: bytes) -> None:
        self._leaving.append(data)
        self._waiting += len(data)
        if self._waiting > WAITING:
            self._end()
        self._news.set()

    def _end(self) -> None:
        self._open = False
        self._news.set()

    async def _write(self) -> None:
        try:
            while self._open:
                await self._news.wait()
                self._news.clear()
                while self._leaving and self._open:
                    data = self._leaving.popleft()
                    await self.socket.send_bytes(data)
                    self._waiting -= len(data)
        except (WebSocketDisconnect, RuntimeError, OSError):
            self._open = False
