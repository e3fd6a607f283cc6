"""A line between a client and a server, on which all that can go wrong does."""

from collections import deque
from math import inf
from typing import TYPE_CHECKING

from specdec.errors import ConnectionLost, TimedOut
from specdec.interfaces import Transport
from specdec.split.record import Connection
from specdec.testing.simulator.actor import Actor, Killed
from specdec.testing.simulator.world import World

if TYPE_CHECKING:
    from specdec.testing.simulator.machine import Machine

REMEMBERED = 40
"""Messages that may come again, late."""


class Line(Transport):
    """The client's end. It may be `cut`, which both ends notice, or `dead`, which none of them does."""

    def __init__(self, world: World, actor: Actor, machine: "Machine", tenant: str, number: int) -> None:
        """Connect to a server."""
        self.world, self.actor, self.machine, self.number = world, actor, machine, number
        self.connection = Connection(self._answer, tenant)
        self.connected, self.whole, self.dead, self.ordered = True, True, False, True
        """Whether the server's end, and the client's, take it to be whole; and what happens in between."""
        self.latency = world.between(0.002, 0.1)
        self.sent: deque[bytes] = deque(maxlen=REMEMBERED)
        self._inbox = deque[bytes]()
        self._latest = [0.0, 0.0]
        machine.server.connect(self.connection)

    @property
    def name(self) -> str:
        """What the trace calls it."""
        return f"line {self.number}"

    def send(self, message: bytes) -> None:
        if self.actor.killed:
            raise Killed
        if not self.whole:
            raise ConnectionLost("the line was cut")
        self.sent.append(message)
        if not self.dead:
            self.world.at(self._arrival(0), lambda: self.deliver(message))

    def receive(self, timeout: float | None = None) -> bytes:
        if not self._inbox and self.whole and timeout != 0:
            self.actor.wait(inf if timeout is None else timeout, lambda: bool(self._inbox) or not self.whole)
        if self._inbox:
            return self._inbox.popleft()
        if not self.whole:
            raise ConnectionLost("the line was cut")
        raise TimedOut("nothing came")

    def close(self) -> None:
        """Give the line up; until the server's end notices, what was sent may still arrive there, even twice."""
        self.whole = False
        self.world.after(self.world.between(0, 12), self.disconnect)

    def deliver(self, message: bytes) -> None:
        """Let a message arrive at the server."""
        if self.connected and not self.dead and self.machine.running:
            self.machine.receive(self, message)

    def disconnect(self) -> None:
        """Let the server's end notice that the line is no more."""
        if self.connected:
            self.connected = False
            self.machine.server.disconnect(self.connection)

    def cut(self) -> None:
        """Break the line so that both ends notice, each at its own time."""
        self.world.after(self.world.between(0, 0.5), self.disconnect)
        self.world.after(self.world.between(0, 0.5), self._lose)

    def _answer(self, message: bytes) -> None:
        """Take what the server sends."""
        self.machine.sending(self, message)
        if not self.dead:
            self.world.at(self._arrival(1), lambda: self._arrive(message))

    def _arrive(self, message: bytes) -> None:
        if self.whole and not self.dead:
            self._inbox.append(message)
            self.actor.wake()

    def _lose(self) -> None:
        self.whole = False
        self.actor.wake()

    def _arrival(self, way: int) -> float:
        """Say when a message arrives: not before those that were sent earlier, if the line keeps their order."""
        time = self.world.now + self.latency * self.world.between(0.5, 1.5)
        if self.ordered or way == 0:
            time = self._latest[way] = max(time, self._latest[way])
        return time
