"""A TCP proxy that injects network faults: delay, cuts, silence, corruption and refused connections."""

import asyncio
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import wraps
from math import inf, nextafter
from random import Random
from threading import Event, Thread
from typing import Concatenate, ParamSpec

from attrs import define, field

SLICE = 1400
"""Bytes that are delayed together, about a packet's."""
P = ParamSpec("P")
BY_RST = b"\1\0\0\0\0\0\0\0"
"""The value of SO_LINGER with which a socket is closed by RST instead of FIN."""


@define(eq=False)
class Way:
    """One direction of all lines: its speed, the bytes so far, and where to cut (`end`) and which bits to flip."""

    random: Random
    latency: float = 0.0
    jitter: float = 0.0
    rate: float = inf
    count: int = 0
    end: float = inf
    flips: set[int] = field(factory=set)
    _free: float = 0.0
    _last: float = 0.0

    def due(self, size: int, now: float) -> float:
        """The time at which `size` bytes sent at `now` arrive, after all that were sent before."""
        self._free = max(self._free, now) + size / self.rate
        delay = max(self.latency + self.random.uniform(-1, 1) * self.jitter, 0.0)
        self._last = max(nextafter(self._last, inf), self._free + delay)
        return self._last

    def spoil(self, data: bytes) -> bytes:
        """Flip bits that are due, and return the bytes before the cut."""
        start, left = self.count, bytearray(data)
        if self.end < start + len(data):
            del left[int(self.end) - start :]
        self.count += len(left)
        for bit in [bit for bit in self.flips if bit // 8 < self.count]:
            left[bit // 8 - start] ^= 1 << bit % 8
            self.flips.remove(bit)
        return bytes(left)


@define(eq=False)
class Line:
    """The two ends of a connection; a `dead` one carries nothing more, not even its own closing, until it is `over`."""

    ends: tuple[asyncio.StreamWriter, ...]
    dead: bool = False
    over: asyncio.Event = field(factory=asyncio.Event)

    def cut(self, reset: bool = False) -> None:
        """Close both ends, by FIN or by RST."""
        self.dead = True
        self.over.set()
        for end in self.ends:
            if reset and not end.is_closing():
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, BY_RST)
                end.transport.abort()
            end.close()


def _arranged(method: Callable[Concatenate["FaultProxy", P], None]) -> Callable[Concatenate["FaultProxy", P], None]:
    """Run a method in the proxy's thread, and wait for it."""

    @wraps(method)
    def arrange(proxy: "FaultProxy", /, *values: P.args, **options: P.kwargs) -> None:
        async def act() -> None:
            method(proxy, *values, **options)

        asyncio.run_coroutine_threadsafe(act(), proxy._loop).result()

    return arrange


class FaultProxy:
    """Stands between clients and the server at `target`, a host and a port; a new target is for new connections.

    It runs inside `with`, in a thread of its own. A method's fault is in force once the method returns; positions are
    counted from then on, in bytes of all connections in one direction: `up` to the server, `down` from it. `struck` is
    set once a connection was cut, or a bit flipped, at such a position. The seed determines the jitter.
    """

    def __init__(self, target: tuple[str, int], *, seed: int = 0) -> None:
        self.target, self.up, self.down = target, Way(Random(seed)), Way(Random(seed + 1))
        self.lines, self.struck = dict[Line, asyncio.Task[None] | None](), Event()
        self._swallows = self._refuses = self._resets = False
        self._over, self._port = asyncio.Event(), Future[int]()
        self._thread = Thread(target=lambda: asyncio.run(self._run()), name="specdec fault proxy", daemon=True)

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        self._port.result()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    @property
    def address(self) -> str:
        """Where clients connect, as `127.0.0.1:PORT`."""
        return f"127.0.0.1:{self._port.result()}"

    @_arranged
    def delay(self, latency: float = 0.0, jitter: float = 0.0, rate: float = inf) -> None:
        """Delay each way by `latency` seconds, plus or minus up to `jitter`, and pass at most `rate` bytes a second."""
        for way in (self.up, self.down):
            way.latency, way.jitter, way.rate = latency, jitter, rate

    @_arranged
    def cut(self, *, reset: bool = False) -> None:
        """Cut all open connections, by FIN or by RST."""
        for line in [*self.lines]:
            line.cut(reset)

    @_arranged
    def cut_after(self, *, up: int | None = None, down: int | None = None, reset: bool = False) -> None:
        """Cut a connection once, after so many bytes, which still arrive."""
        self._resets = reset
        for way, size in ((self.up, up), (self.down, down)):
            way.end = inf if size is None else way.count + size

    @_arranged
    def corrupt(self, *, up: Iterable[int] = (), down: Iterable[int] = ()) -> None:
        """Flip bits once; bit 8n is the least significant one of byte n."""
        for way, bits in ((self.up, up), (self.down, down)):
            way.flips = {8 * way.count + bit for bit in bits}

    @_arranged
    def swallow(self) -> None:
        """Accept all bytes and pass on none: on open connections for good, on new ones until `heal`."""
        self._swallows = True
        for line in self.lines:
            line.dead = True

    @_arranged
    def refuse(self) -> None:
        """Reset all new connections until `heal`."""
        self._refuses = True

    @_arranged
    def heal(self) -> None:
        """End all faults for new connections."""
        self._swallows = self._refuses = False
        for way in (self.up, self.down):
            way.latency, way.jitter, way.rate, way.end = 0.0, 0.0, inf, inf
            way.flips.clear()
        self.struck.clear()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port.set_result(server.sockets[0].getsockname()[1])
        await self._over.wait()
        server.close()
        tasks = [task for task in self.lines.values() if task is not None]
        for line in self.lines:
            line.cut()
        await asyncio.gather(*tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line((writer,), self._swallows)
        self.lines[line] = asyncio.current_task()
        with suppress(OSError):
            while line.dead and await reader.read(SLICE):
                pass
            if not line.dead and not self._refuses:
                there, back = await asyncio.open_connection(*self.target)
                line.ends = writer, back
                ways = (self.up, reader, back), (self.down, there, writer)
                await asyncio.gather(*[self._carry(line, *way) for way in ways])
        if line.dead:
            await line.over.wait()
        del self.lines[line]
        line.cut(self._refuses)

    async def _carry(self, line: Line, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one direction of a connection, and at last its closing."""
        with suppress(OSError):
            while data := await reader.read(SLICE):
                self._loop.call_at(way.due(len(data), self._loop.time()), self._deliver, line, way, writer, data)
        over = self._loop.create_future()
        self._loop.call_at(way.due(0, self._loop.time()), over.set_result, None)
        await over
        if not line.dead:
            writer.write_eof()

    def _deliver(self, line: Line, way: Way, writer: asyncio.StreamWriter, data: bytes) -> None:
        if line.dead:
            return
        left = way.spoil(data)
        writer.write(left)
        cut = way.count >= way.end
        if cut:
            way.end = inf
            line.cut(self._resets)
        if cut or left != data:
            self.struck.set()
