"""A transport that is as slow as a link, in real time."""

from queue import Empty, SimpleQueue
from random import Random
from threading import Thread
from time import monotonic, sleep

from specdec.bench.split.link import Lane, Link
from specdec.errors import ConnectionLost, TimedOut
from specdec.interfaces import Transport


class ShapedLine(Transport):
    """Delays another transport's messages, in both directions, as a link would."""

    def __init__(self, line: Transport, link: Link, seed: int = 0) -> None:
        self._line = line
        self._lanes = Lane(link, Random(2 * seed)), Lane(link, Random(2 * seed + 1))
        self._up, self._down = SimpleQueue[tuple[float, bytes]](), SimpleQueue[tuple[float, bytes | None]]()
        self._next: tuple[float, bytes | None] | None = None
        for carry in (self._carry_up, self._carry_down):
            Thread(target=carry, name="specdec shaped line", daemon=True).start()

    def send(self, message: bytes) -> None:
        self._up.put((self._lanes[0].arrival(monotonic(), len(message)), message))

    def receive(self, timeout: float | None = None) -> bytes:
        deadline = None if timeout is None else monotonic() + timeout
        try:
            self._next = self._next or self._down.get(timeout=timeout)
        except Empty:
            raise TimedOut(f"expected a message within {timeout} seconds, got none") from None
        due, message = self._next
        if message is None:
            raise ConnectionLost("the line was broken")
        if deadline is not None and due > deadline:
            sleep(max(deadline - monotonic(), 0.0))
            raise TimedOut(f"expected a message within {timeout} seconds, got none")
        sleep(max(due - monotonic(), 0.0))
        self._next = None
        return message

    def close(self) -> None:
        self._line.close()
        self._up.put((0.0, b""))

    def _carry_up(self) -> None:
        try:
            while True:
                due, message = self._up.get()
                sleep(max(due - monotonic(), 0.0))
                self._line.send(message)
        except ConnectionLost:
            return

    def _carry_down(self) -> None:
        try:
            while True:
                message = self._line.receive()
                self._down.put((self._lanes[1].arrival(monotonic(), len(message)), message))
        except ConnectionLost:
            self._down.put((0.0, None))
