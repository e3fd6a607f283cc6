"""One seed: a world, a server, some clients, and all that goes wrong."""

import os
from collections.abc import Callable
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen

from specdec.testing.simulator.caller import Caller, Parts
from specdec.testing.simulator.faults import Faults
from specdec.testing.simulator.service import Service
from specdec.testing.simulator.violation import Violation
from specdec.testing.simulator.world import LAST, World

PATIENCE = 120.0
"""Seconds after the last fault in which all clients must be done."""
MEMORY = "/dev/shm"
"""Where files need no disk, on machines that have it."""


@frozen
class Outcome:
    """What came of one seed: the violation, if there was one, events, virtual seconds, and a hash of all events."""

    seed: int
    violation: str | None
    events: int
    seconds: float
    digest: str


class Simulation:
    """Runs the shipped server, clients, failover and journal on a toy target, in virtual time."""

    def __init__(self, seed: int, folder: Path, parts: Parts, trace: Callable[[str], object] | None = None) -> None:
        """Make a world with a server and two or three clients of two tenants."""
        self.world = World(seed, trace)
        self.service = Service(self.world)
        self.callers = [
            Caller(self.world, self.service, parts, number, folder) for number in range(self.world.pick((2, 2, 3)))
        ]
        self.faults = Faults(self.world, self.service, self.callers)

    def run(self) -> None:
        """Run until all is done and forgotten.

        Raises:
            Violation: an invariant does not hold.
        """
        self.world.run(LAST + PATIENCE, self._done)
        if not self._done():
            late = ", ".join(caller.name for caller in self.callers if not caller.done)
            raise Violation(f"I4: not done {PATIENCE:g} seconds after the last fault: {late}")
        idle = self.service.limits.idle
        self.world.run(max(self.world.now, LAST) + idle + 10, lambda: False)
        for machine in self.service.machines:
            if machine.running and (len(machine.server.store) or machine.server.busy):
                raise Violation(f"I7: {machine.name} holds {len(machine.server.store)} sessions that nobody uses")

    def end(self) -> None:
        """End all programs."""
        self.world.end()
        for caller in self.callers:
            caller.jobs.clear()
            caller.actor.kill()
        self.world.run(inf, self._done)

    def _done(self) -> bool:
        return all(caller.done for caller in self.callers)


def simulate(seed: int, parts: Parts = Parts(), trace: Callable[[str], object] | None = None) -> Outcome:  # noqa: B008
    """Run one seed; `trace` gets a line for each event."""
    with TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        simulation, violation = Simulation(seed, Path(folder), parts, trace), None
        try:
            simulation.run()
        except Violation as error:
            violation = str(error)
        except Exception as error:
            violation = f"expected no error, got {error!r}"
        finally:
            simulation.end()
        world = simulation.world
        return Outcome(seed, violation, world.events, world.now, world.digest)
