"""All that goes wrong, for a time; each seed has some kinds of it, and others not."""

from collections.abc import Callable, Sequence
from functools import partial

from specdec.testing.simulator.caller import Caller
from specdec.testing.simulator.line import Line
from specdec.testing.simulator.service import Service
from specdec.testing.simulator.world import LAST, World


class Faults:
    """Makes faults at random times, until it is enough."""

    def __init__(self, world: World, service: Service, callers: Sequence[Caller]) -> None:
        """Choose kinds of faults, and how often they come."""
        self.world, self.service, self.callers = world, service, callers
        kinds: list[Callable[[], object]] = [
            self.crash,
            self.drain,
            self.forget,
            self.kill,
            self.cut,
            self.deafen,
            self.repeat,
            self.steal,
            self.slow_down,
            self.isolate,
            self.reorder,
            self.spoil,
        ]
        self._kinds = [kind for kind in kinds if world.chance(0.5)]
        self._pause = world.pick((0.05, 0.2, 0.5, 1.0))
        if self._kinds:
            self._again()

    def _again(self) -> None:
        self.world.after(self.world.random.expovariate(1 / self._pause), self._strike)

    def _strike(self) -> None:
        if self.world.now < LAST:
            kind = self.world.pick(self._kinds)
            self.world.note("fault:", kind.__name__)
            kind()
            self._again()

    def _line(self) -> Line | None:
        """Pick a line that its server takes to be whole, whatever its client thinks."""
        lines = [line for line in self.service.lines if line.connected and line.machine.running]
        return self.world.pick(lines) if lines else None

    def _for_a_while(self, begin: Callable[[], object], end: Callable[[], object]) -> None:
        begin()
        self.world.after(self.world.between(0.2, 3), end)

    def crash(self) -> None:
        """The server ends, and another starts a moment later."""
        if self.service.machines[-1].running:
            self.service.crash()
            self.world.after(self.world.between(0, 3), self.service.start)

    def drain(self) -> None:
        """The server stops in good order; another takes its place."""
        if self.service.machines[-1].running:
            self.service.replace(self.world.between(0.1, 2))

    def forget(self) -> None:
        """A server forgets a session, even one that has work to do."""
        self.service.machines[-1].forget()

    def kill(self) -> None:
        """A client ends."""
        caller = self.world.pick(self.callers)
        if caller.actor.alive:
            caller.actor.kill()

    def cut(self) -> None:
        """A line breaks."""
        if line := self._line():
            line.cut()

    def deafen(self) -> None:
        """A line carries nothing more, and nobody is told."""
        if line := self._line():
            line.dead = True
            self.world.after(self.world.between(2, 10), line.disconnect)

    def repeat(self) -> None:
        """Some of a client's messages arrive again."""
        if (line := self._line()) and line.sent:
            first, delay = self.world.random.randrange(len(line.sent)), self.world.between(0, 0.2)
            for message in [*line.sent][first : first + self.world.random.randrange(1, 6)]:
                self.world.after(delay, partial(line.deliver, message))

    def steal(self) -> None:
        """Another tenant sends what it has overheard."""
        line, other = self._line(), self._line()
        if line and other and line.connection.tenant != other.connection.tenant and line.sent:
            other.deliver(self.world.pick(line.sent))

    def slow_down(self) -> None:
        """Turns take long."""
        self._for_a_while(lambda: setattr(self.service, "slow", True), lambda: setattr(self.service, "slow", False))

    def isolate(self) -> None:
        """No new lines are made."""
        self._for_a_while(
            lambda: setattr(self.service, "reachable", False), lambda: setattr(self.service, "reachable", True)
        )

    def reorder(self) -> None:
        """Answers overtake each other on a line."""
        if line := self._line():
            self._for_a_while(lambda: setattr(line, "ordered", False), lambda: setattr(line, "ordered", True))

    def spoil(self) -> None:
        """Some passes over several sessions fail."""
        machine = self.service.machines[-1]
        self._for_a_while(lambda: setattr(machine, "failing", True), lambda: setattr(machine, "failing", False))
