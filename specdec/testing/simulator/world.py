"""Virtual time: events in their order, and all chance from one seed."""

from collections.abc import Callable
from hashlib import blake2b
from heapq import heappop, heappush
from itertools import count
from random import Random
from threading import Lock
from typing import Any

LAST = 12.0
"""Seconds after which nothing more goes wrong."""

Act = Callable[[], object]


class Turn:
    """A thread's permission to run: released by whoever had the turn before, and acquired by the thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._lock.acquire()
        self.acquire, self.release = self._lock.acquire, self._lock.release


class World:
    """Does one thing at a time. What happens is noted, so that two runs of a seed can be compared."""

    def __init__(self, seed: int, trace: Callable[[str], object] | None = None) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.events = 0
        self._queue: list[tuple[float, int, Act]] = []
        self._order = count()
        self._trace = trace
        self._main = Turn()
        self._failure: BaseException | None = None
        self._until = 0.0
        self._done: Callable[[], bool] = lambda: False
        self._hash = blake2b(digest_size=8)

    def clock(self) -> float:
        """Tell the time, in seconds."""
        return self.now

    def at(self, time: float, act: Act) -> None:
        """Have something done at a time, after what is to be done then already."""
        heappush(self._queue, (time, next(self._order), act))

    def after(self, delay: float, act: Act) -> None:
        """Have something done after so many seconds."""
        self.at(self.now + delay, act)

    def chance(self, probability: float) -> bool:
        """Say whether something happens."""
        return self.random.random() < probability

    def between(self, least: float, most: float) -> float:
        """Pick a number."""
        return self.random.uniform(least, most)

    def pick(self, options: Any) -> Any:
        """Pick one of a sequence."""
        return options[int(self.random.random() * len(options))]

    def note(self, *what: object) -> None:
        """Note that something happened."""
        self.events += 1
        line = " ".join([f"{self.now:.6f}", *map(str, what)])
        self._hash.update(line.encode())
        if self._trace is not None:
            self._trace(line)

    @property
    def digest(self) -> str:
        """A hash of all that happened."""
        return self._hash.hexdigest()

    def run(self, until: float, done: Callable[[], bool]) -> None:
        """Do what is to be done, one after the other, up to a time or until all is done."""
        self._until, self._done = until, done
        self.pass_on(self._main)
        if self._failure is not None:
            raise self._failure

    def fail(self, error: BaseException) -> None:
        """Have `run` raise an error."""
        self._failure = self._failure or error

    def end(self) -> None:
        """Forget all that is to be done, and all that failed."""
        self._queue.clear()
        self._failure = None

    def pass_on(self, own: Turn | None = None) -> None:
        """Do what is to be done until someone has the turn, and wait for the own one."""
        turn = self._proceed()
        if turn is not own:
            turn.release()
            if own is not None:
                own.acquire()

    def _proceed(self) -> Turn:
        """Do what is to be done until it is a thread's turn; whoever waits does it, for changing threads takes long."""
        while self._failure is None and self._queue and self._queue[0][0] <= self._until and not self._done():
            self.now, _, act = heappop(self._queue)
            try:
                turn = act()
            except BaseException as error:
                self.fail(error)
            else:
                if isinstance(turn, Turn):
                    return turn
        return self._main
