"""A bounded, closable queue of messages between two threads."""

from collections import deque
from collections.abc import Iterator
from threading import Condition

from attrs import define, field

from specdec.errors import ConnectionLost, TimedOut

WAITING = 2**24
"""Bytes in a box beyond which it is full."""


@define(eq=False)
class Box:
    """A queue of messages; once it is closed, messages put before can still be taken."""

    _messages: deque[bytes] = field(factory=deque, init=False)
    _news: Condition = field(factory=Condition, init=False)
    _bytes: int = field(default=0, init=False)
    _closed: str = field(default="", init=False)

    def put(self, message: bytes) -> None:
        """Add a message, waiting while the box is full.

        Raises:
            ConnectionLost: the box is closed.
        """
        with self._news:
            self._news.wait_for(lambda: self._closed or self._bytes <= WAITING)
            self._add(message)

    def offer(self, message: bytes) -> None:
        """Add a message without waiting; a full box is closed, because its reader has stopped.

        Raises:
            ConnectionLost: the box is closed.
        """
        with self._news:
            if self._bytes > WAITING:
                self.close(f"expected messages to be read, got {self._bytes} bytes that wait")
            self._add(message)

    def take(self, timeout: float | None = None) -> bytes:
        """Wait for the next message.

        Raises:
            TimedOut: none came within `timeout` seconds.
            ConnectionLost: the box is closed and empty.
        """
        with self._news:
            self._news.wait_for(lambda: self._messages or self._closed, timeout)
            if not self._messages:
                self._check()
                raise TimedOut(f"expected a message within {timeout} seconds, got none")
            message = self._messages.popleft()
            self._bytes -= len(message)
            self._news.notify_all()
            return message

    def close(self, reason: str) -> None:
        """Accept no more messages; the first `reason` is the one that later errors give."""
        with self._news:
            self._closed = self._closed or reason
            self._news.notify_all()

    def __iter__(self) -> Iterator[bytes]:
        """Take all messages, until the box is closed and empty."""
        try:
            while True:
                yield self.take()
        except ConnectionLost:
            return

    def _add(self, message: bytes) -> None:
        self._check()
        self._messages.append(message)
        self._bytes += len(message)
        self._news.notify_all()

    def _check(self) -> None:
        if self._closed:
            raise ConnectionLost(self._closed)
