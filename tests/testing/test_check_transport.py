"""A queue passes the check of transports, and what is wrong in a way of its own fails it."""

import socket
from contextlib import suppress
from queue import Empty, SimpleQueue
from select import select
from time import monotonic

import pytest

from specdec import Transport
from specdec.errors import ConnectionLost, TimedOut
from specdec.testing import check_transport


def test_a_queue_is_a_transport():
    check_transport(queues)


CLOSED = object()


class Queue(Transport):
    """One end of a pair of queues."""

    def __init__(self, inbox: SimpleQueue, outbox: SimpleQueue) -> None:
        self.inbox, self.outbox, self.closed = inbox, outbox, False

    def send(self, message: bytes) -> None:
        if self.closed:
            raise ConnectionLost("closed")
        self.outbox.put(message)

    def receive(self, timeout: float | None = None) -> bytes:
        if self.closed:
            raise ConnectionLost("closed")
        try:
            message = self.inbox.get(timeout=timeout) if timeout != 0 else self.inbox.get_nowait()
        except Empty:
            raise TimedOut("nothing came") from None
        if message is CLOSED:
            self.closed = True
            raise ConnectionLost("closed by the other end")
        return message

    def close(self) -> None:
        self.closed = True
        self.outbox.put(CLOSED)


def queues(near=Queue, far=Queue):
    there, back = SimpleQueue(), SimpleQueue()
    return near(back, there), far(there, back)


class Reordering(Queue):
    def receive(self, timeout=None):
        first = super().receive(timeout)
        if self.inbox.empty():
            return first
        self.outbox, kept = self.outbox, super().receive(timeout)
        self.inbox.put(first)
        return kept


class Silent(Queue):
    """Takes a broken pipe for silence."""

    def receive(self, timeout=None):
        try:
            return super().receive(timeout)
        except ConnectionLost:
            raise TimedOut("nothing came") from None


class Chopping(Queue):
    def send(self, message):
        super().send(message[:100])


class Socket(Transport):
    """One end of a connection of sockets: a message is its length in eight bytes, then itself."""

    def __init__(self, end: socket.socket) -> None:
        for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, buffer, 4096)  # so that messages come in parts on any machine
        self.socket, self.came, self.closed = end, bytearray(), False

    def send(self, message: bytes) -> None:
        try:
            self.socket.sendall(len(message).to_bytes(8) + message)
        except OSError:
            raise ConnectionLost("closed") from None

    def receive(self, timeout: float | None = None) -> bytes:
        end = None if timeout is None else monotonic() + timeout
        while (message := self.whole()) is None:
            patience = None if end is None else max(0.0, end - monotonic())
            try:
                if not select([self.socket], [], [], patience)[0]:
                    self.lose()
                    raise TimedOut("nothing came")
                part = self.socket.recv(2**16)
            except (OSError, ValueError):
                raise ConnectionLost("closed") from None
            if not part:
                raise ConnectionLost("closed by the other end")
            self.came += part
        return message

    def whole(self) -> bytes | None:
        """Take a whole message, if one has come."""
        length = 8 + int.from_bytes(self.came[:8]) if len(self.came) >= 8 else 8
        if len(self.came) < length or len(self.came) < 8:
            return None
        message = bytes(self.came[8:length])
        del self.came[:length]
        return message

    def lose(self) -> None:
        """Nothing, if it is right."""

    def close(self) -> None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Dropping(Socket):
    """Forgets what it has read of a message when waiting ends."""

    def lose(self):
        self.came.clear()


def test_a_socket_is_a_transport():
    check_transport(lambda: tuple(map(Socket, socket.socketpair())))


def test_a_half_read_message_that_is_dropped_is_found():
    with pytest.raises(AssertionError, match="messages in parts"):
        check_transport(lambda: tuple(map(Dropping, socket.socketpair())))


@pytest.mark.parametrize("end", [Reordering, Silent, Chopping])
def test_transports_that_break_promises_are_found(end):
    with pytest.raises(AssertionError):
        check_transport(lambda: queues(end, end))
