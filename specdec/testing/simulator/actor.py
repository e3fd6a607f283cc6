"""A thread that runs only while it has the world's turn, and passes it on while it waits."""

from collections.abc import Callable
from functools import partial
from threading import Thread

from specdec.testing.simulator.world import Turn, World

LEAST = 1e-6
"""Seconds that any waiting takes: a deadline that is missed by a rounding must not be waited for without end."""


class Killed(BaseException):
    """The program ends here and now."""


class Actor:
    """Runs ordinary code that waits, in virtual time; no two run at once, so that a run depends on its seed alone."""

    def __init__(self, world: World, work: Callable[[], object], ended: Callable[[], object]) -> None:
        """Begin to work; `ended` is called when the work is over, or was killed."""
        self.world, self._work, self._ended = world, work, ended
        self.alive, self.killed = True, False
        self._waits, self._turn = 0, Turn()
        self.wake()
        Thread(target=self._run, daemon=True).start()

    def wake(self) -> None:
        """Have it look whether what it waits for is there."""
        self.world.after(0, partial(self._resume, self._waits))

    def kill(self) -> None:
        """End it from outside, where it waits."""
        self.killed = True
        self.wake()

    def die(self) -> None:
        """End it from inside."""
        self.killed = True
        raise Killed

    def wait(self, seconds: float, ready: Callable[[], bool] = lambda: False) -> None:
        """Wait until something is ready, or for some time; called by the actor's own code."""
        until = self.world.now + max(seconds, LEAST)
        while not self.killed and not ready() and self.world.now < until:
            self._waits += 1
            self.world.at(until, partial(self._resume, self._waits))
            self.world.pass_on(self._turn)
        if self.killed:
            raise Killed

    def _resume(self, number: int) -> Turn | None:
        """Give it the turn, if it still waits for this."""
        return self._turn if self.alive and number == self._waits else None

    def _run(self) -> None:
        self._turn.acquire()
        try:
            if not self.killed:
                self._work()
        except Killed:
            pass
        except BaseException as error:
            self.world.fail(error)
        self.alive = False
        self._ended()
        self.world.pass_on()
