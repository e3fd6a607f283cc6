"""A machine with the shipped server on it, which may crash, stop in good order, or be slow."""

from collections.abc import Callable

from specdec.split.limits import Limits
from specdec.split.messages import Code, Opened, Read, Refused, Verified, read_from_server
from specdec.split.prefix_hash import PrefixHash
from specdec.split.record import Key
from specdec.split.server import Server
from specdec.target.decisions import Session
from specdec.testing.simulator import law
from specdec.testing.simulator.line import Line
from specdec.testing.simulator.sessions import ToySessions
from specdec.testing.simulator.violation import Violation
from specdec.testing.simulator.world import World
from specdec.tree import Tree

IDLE = 1.0
"""Seconds after which a server without work looks for sessions that nobody uses."""


class Machine:
    """One life of a server: what it holds ends with it."""

    def __init__(self, world: World, name: str, limits: Limits, pace: Callable[[], float]) -> None:
        """Start; `pace` says how many seconds a turn takes."""
        self.world, self.name, self._pace = world, name, pace
        self.running, self.failing, self._turn_waits = True, False, False
        self.sessions = ToySessions(self._computing, lambda: self.failing and world.chance(0.2))
        self.server = Server(self.sessions, world.clock, end_tokens=(law.END,), limits=limits, chunk=6)
        self._computed = dict[Key, set[tuple[int, int]]]()
        self._newest = dict[Key, tuple[int, int]]()
        self._idle()

    def receive(self, line: Line, message: bytes) -> None:
        """Take in a message, and take a turn soon if there is something to do."""
        self.world.note(self.name, "hears", line.name, len(message))
        self.server.receive(line.connection, message)
        self._go_on()

    def sending(self, line: Line, data: bytes) -> None:
        """Look at what a server sends: nothing but what belongs to this line."""
        message = read_from_server(data)
        self.world.note(self.name, "tells", line.name, type(message).__name__, len(data))
        if isinstance(message, Refused) and message.code is Code.INTERNAL:
            raise Violation(f"I4: {self.name} failed: {message.detail}")
        if isinstance(message, Opened | Verified | Read):
            key = line.connection.tenant, message.sid
            epoch, newest = self._newest.get(key, (-1, 0))
            if isinstance(message, Opened) and message.epoch > epoch:
                self._newest[key] = message.epoch, line.number
            elif newest != line.number or message.epoch < epoch:
                raise Violation(f"I5: {line.name} got {type(message).__name__} of a session that line {newest} has")

    def crash(self) -> None:
        """End without a word."""
        self.running = False
        self.world.note(self.name, "ends")

    def forget(self) -> None:
        """Forget a session, as when there is no room for it."""
        if self.running and (keys := [*self.server.store.records]):
            self.server.store.forget([self.world.pick(keys)])
            self.check()

    def check(self) -> None:
        """Check what a server holds."""
        limits, store = self.server.limits, self.server.store
        for known in (self._computed, self._newest):
            for key in known.keys() - store.records.keys():
                known.pop(key)
        if len(store) > limits.sessions:
            raise Violation(f"I6: {self.name} holds {len(store)} sessions of {limits.sessions}")
        if len(self.sessions.live) != len(store):
            raise Violation(f"I7: {self.name} holds {len(self.sessions.live)} sessions and knows of {len(store)}")
        for tenant in dict.fromkeys(tenant for tenant, _ in store.records):
            own = store.of(tenant)
            if len(own) > limits.tenant_sessions or store.waiting(tenant) > limits.tenant_waiting:
                raise Violation(f"I6: tenant {tenant} has {len(own)} sessions, of which {store.waiting(tenant)} wait")
            kept = sum(record.base for record in own)
            if len(own) > 1 and not all(record.busy for record in own) and kept > limits.tenant_tokens:
                raise Violation(f"I6: tenant {tenant} has {kept} tokens of {limits.tenant_tokens}")

    def _computing(self, session: Session, tree: Tree) -> None:
        """Check that what is about to be decided follows the text that its client means, and was not decided before."""
        records = self.server.store.records.items()
        (key, record), *others = [(key, one) for key, one in records if one.session is session]
        tokens, waiting = session.prefix.tokens, record.waiting
        if others or waiting is None:
            raise Violation(f"I5: {self.name} decides for nobody, or for several")
        message = waiting.message
        if message.base != len(tokens) or message.prefix != PrefixHash(tokens).digest:
            raise Violation(f"I2: {self.name} decides what follows {len(tokens)} tokens, asked for {message.base}")
        steps, step = self._computed.setdefault(key, set()), (record.epoch, message.base)
        if step in steps:
            raise Violation(f"I3: {self.name} decides twice on what follows {message.base} tokens")
        steps.add(step)

    def _go_on(self) -> None:
        self.check()
        if self.server.busy and not self._turn_waits:
            self._turn_waits = True
            self.world.after(self._pace(), self._turn)

    def _turn(self) -> None:
        self._turn_waits = False
        if self.running:
            worked = self.server.tick()
            self.world.note(self.name, "turns", worked)
            if not worked and self.server.busy:
                raise Violation(f"I6: {self.name} is busy with nothing")
            self._go_on()

    def _idle(self) -> None:
        if self.running:
            self.server.tick()
            self._go_on()
            self.world.after(IDLE, self._idle)
