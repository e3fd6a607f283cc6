"""A line to a server in virtual time: the real protocol, with computed delays."""

from collections import deque
from math import inf
from random import Random

from attrs import define, field

from specdec.bench.split.link import Lane, Link
from specdec.bench.split.pace import Passes
from specdec.errors import TimedOut
from specdec.interfaces import Transport
from specdec.split import Connection, Server
from specdec.split.messages import Verify, read_from_client
from specdec.transports import Traffic


@define
class VirtualClock:
    """A clock in seconds that only moves when something waits."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move the clock."""
        self.now += seconds


@define(eq=False)
class VirtualLine(Transport):
    """The client's end of a server's only line; a turn of the server takes `target_pass` seconds for each pass.

    `calls` counts the trees that were sent, `made` the server's passes for this line.
    """

    server: Server
    link: Link
    clock: VirtualClock
    passes: Passes
    target_pass: float
    seed: int = 0
    traffic: Traffic = field(factory=Traffic, init=False)
    calls: int = field(default=0, init=False)
    made: int = field(default=0, init=False)
    _up: deque[tuple[float, bytes]] = field(factory=deque, init=False)
    _down: deque[tuple[float, bytes]] = field(factory=deque, init=False)
    _lanes: tuple[Lane, Lane] = field(init=False)
    _free: float = field(init=False)
    """When the server's last turn ended; within a turn, when it began."""
    _before: int = field(init=False)
    _connection: Connection = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._lanes = Lane(self.link, Random(2 * self.seed)), Lane(self.link, Random(2 * self.seed + 1))
        self._free, self._before = self.clock.now, self.passes.count
        self._connection = Connection(self._answer, "")
        self.server.connect(self._connection)

    def send(self, message: bytes) -> None:
        self.traffic.up(message)
        self.calls += isinstance(read_from_client(message), Verify)
        self._up.append((self._lanes[0].arrival(self.clock.now, len(message)), message))

    def receive(self, timeout: float | None = None) -> bytes:
        deadline = self.clock.now + (inf if timeout is None else timeout)
        while True:
            arrival, turn = self._down[0][0] if self._down else inf, self._next_turn
            if min(arrival, turn) > deadline or arrival == turn == inf:
                self.clock.now = self.clock.now if deadline == inf else deadline
                raise TimedOut(f"expected a message by second {deadline:g}, got none")
            if arrival <= turn:
                self.clock.now = max(self.clock.now, arrival)
                return self._down.popleft()[1]
            self._take_turn(turn)

    def close(self) -> None:
        """Close the line, once the server has done all work."""
        while (turn := self._next_turn) < inf:
            self._take_turn(turn)
        self.server.disconnect(self._connection)

    @property
    def _next_turn(self) -> float:
        if self.server.busy:
            return self._free
        return max(self._free, self._up[0][0]) if self._up else inf

    def _take_turn(self, start: float) -> None:
        """Have the server receive what has arrived, and take a turn."""
        self._free, self._before = start, self.passes.count
        while self._up and self._up[0][0] <= start:
            self.server.receive(self._connection, self._up.popleft()[1])
        self.server.tick()
        self.made += self.passes.count - self._before
        self._free, self._before = self._now, self.passes.count

    @property
    def _now(self) -> float:
        """The server's time: the start of its turn, plus the passes since."""
        return self._free + (self.passes.count - self._before) * self.target_pass

    def _answer(self, message: bytes) -> None:
        self.traffic.down(message)
        self._down.append((self._lanes[1].arrival(self._now, len(message)), message))
