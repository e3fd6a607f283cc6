"""A pipe inside one process: two queues."""

from collections import deque
from threading import Condition

from attrs import define, field

from specdec.errors import ConnectionLost, TimedOut
from specdec.interfaces import Transport


@define(eq=False)
class _Pipe:
    """What both ends share: whether the pipe is open, and the condition that receivers wait on."""

    news: Condition = field(factory=Condition)
    whole: bool = True


@define(eq=False)
class LocalTransport(Transport):
    """One end of a pipe; `pipe` makes both."""

    _pipe: _Pipe
    _arriving: deque[bytes]
    _leaving: deque[bytes]

    def send(self, message: bytes) -> None:
        with self._pipe.news:
            self._check()
            self._leaving.append(bytes(message))
            self._pipe.news.notify_all()

    def receive(self, timeout: float | None = None) -> bytes:
        with self._pipe.news:
            self._pipe.news.wait_for(lambda: self._arriving or not self._pipe.whole, timeout)
            if self._arriving:
                return self._arriving.popleft()
            self._check()
            raise TimedOut(f"expected a message within {timeout} seconds, got none")

    def close(self) -> None:
        with self._pipe.news:
            self._pipe.whole = False
            self._arriving.clear()
            self._pipe.news.notify_all()

    def _check(self) -> None:
        if not self._pipe.whole:
            raise ConnectionLost("one end of the pipe was closed")


def pipe() -> tuple[LocalTransport, LocalTransport]:
    """Make both ends of a pipe."""
    shared, there, back = _Pipe(), deque[bytes](), deque[bytes]()
    return LocalTransport(shared, there, back), LocalTransport(shared, back, there)
