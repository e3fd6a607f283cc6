"""A queue passes the check of transports, and what is wrong in a way of its own fails it."""

from queue import Empty, SimpleQueue

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


@pytest.mark.parametrize("end", [Reordering, Silent, Chopping])
def test_transports_that_break_promises_are_found(end):
    with pytest.raises(AssertionError):
        check_transport(lambda: queues(end, end))
