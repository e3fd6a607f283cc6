"""The address at which clients find a server: one machine at a time takes new lines."""

from specdec.errors import ConnectionLost
from specdec.interfaces import Transport
from specdec.split.limits import Limits
from specdec.testing.simulator.actor import Actor
from specdec.testing.simulator.line import Line
from specdec.testing.simulator.machine import Machine
from specdec.testing.simulator.world import World


class Service:
    """Machines that come and go, and all lines to them."""

    def __init__(self, world: World) -> None:
        """Start the first machine."""
        self.world = world
        self.limits = Limits(
            nodes=world.pick((9, 16, 64)),
            sessions=world.pick((2, 3, 8)),
            tenant_sessions=world.pick((1, 2, 8)),
            tenant_tokens=world.pick((60, 200, 10_000)),
            tenant_waiting=world.pick((1, 2, 8)),
            idle=world.between(3, 30),
        )
        self.machines: list[Machine] = []
        self.lines: list[Line] = []
        self.slow, self.reachable = False, True
        self._lines_made = 0
        self.start()

    def start(self) -> None:
        """Put another machine in the place of the last one."""
        name = f"server {len(self.machines)}"
        self.machines.append(Machine(self.world, name, self.limits, self._pace))
        self.world.note(name, "starts")

    def connect(self, actor: Actor, tenant: str) -> Transport:
        """Make a line."""
        machine = self.machines[-1]
        if not machine.running or not self.reachable:
            raise ConnectionLost("nobody answers")
        self._lines_made += 1
        line = Line(self.world, actor, machine, tenant, self._lines_made)
        self.lines = [one for one in self.lines if one.connected] + [line]
        self.world.note(line.name, "to", machine.name)
        return line

    def crash(self) -> None:
        """End the machine; some lines are dead then, and others cut."""
        machine = self.machines[-1]
        machine.crash()
        for line in self._to(machine):
            line.dead = self.world.chance(0.5)
            if not line.dead:
                line.cut()

    def replace(self, grace: float) -> None:
        """Have the machine stop in good order, when another has taken its place."""
        machine = self.machines[-1]
        machine.server.drain(grace)
        self.world.note(machine.name, "drains")
        self.start()
        self.world.after(grace, lambda: self._end(machine))

    def _end(self, machine: Machine) -> None:
        machine.crash()
        for line in self._to(machine):
            line.cut()

    def _to(self, machine: Machine) -> list[Line]:
        return [line for line in self.lines if line.machine is machine]

    def _pace(self) -> float:
        return self.world.between(1, 4) if self.slow else self.world.between(0.005, 0.05)
