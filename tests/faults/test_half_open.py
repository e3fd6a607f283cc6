"""A line that is dead and does not say so: it is found out in time, and what follows does not wait again."""

from typing import Any

import pytest

from specdec import Context, Decoder, Drafter, Sampling, Stop, Target, Transport, Tree, TreePolicy
from specdec.drafters import NoDrafter
from specdec.errors import ConnectionLost, TimedOut
from specdec.remote import Failover, Remote
from specdec.split import Server
from tests.faults.services import CONNECT, serving
from tests.remote.hosts import Inline, Lines, toy

PROMPT, PATIENCE = [5, 6, 7, 5, 6], 2.0


class Guess(Drafter):
    """Drafts one token, at no cost."""

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        return [Tree.root(context.tokens[0][-1]).place([(3, 0, 0.0)][: context.room[0]])]


@pytest.mark.parametrize("kind", ["ws", "grpc"])
def test_a_silent_line_is_known_to_be_dead_long_before_tcp_knows(kind: str) -> None:
    with serving(kind, toy()) as (_, proxy):
        transport = CONNECT[kind](proxy.address)
        proxy.swallow()
        with pytest.raises(ConnectionLost):  # by keepalive: else it were TimedOut
            transport.receive(60.0)
        transport.close()


class Far(Lines):
    """Lines in virtual time: an exchange takes `trip` seconds, making a line takes as many."""

    def __init__(self, server: Server, trip: float = 10.0) -> None:
        super().__init__(server)
        self.trip = trip

    def connect(self) -> Transport:
        if self.out:
            raise ConnectionLost("out of reach")
        self.now += self.trip
        self.made.append(FarLine(self.server, self))
        return self.made[-1]

    def clock(self) -> float:
        return self.now


class FarLine(Inline):
    """Answers arrive a trip after what they answer was sent; time passes for whoever waits."""

    def __init__(self, server: Server, lines: Far) -> None:
        super().__init__(server)
        self.lines, self.due = lines, 0.0

    def send(self, message: bytes) -> None:
        super().send(message)
        self.due = self.lines.now + self.lines.trip

    def receive(self, timeout: float | None = None) -> bytes:
        patience = timeout or 0.0
        if self.mute or self.due - self.lines.now > patience or not (self.arrived or self.server.busy):
            self.lines.now += patience
            raise TimedOut("nothing came")
        self.lines.now = max(self.lines.now, self.due)
        return super().receive(timeout)


def stream(lines: Far, **options: float) -> tuple[Failover, Any]:
    remote = Remote(lines.connect, clock=lines.clock, sleep=lines.sleep, **options)
    failover = Failover(remote)
    return failover, Decoder(Guess(), failover).stream([PROMPT], Sampling(), Stop(max_tokens=40))


def test_a_step_ends_by_its_own_deadline_and_the_next_ones_do_not_wait() -> None:
    lines = Far(Server.of(toy()), trip=0.1)
    failover, steps = stream(lines, patience=PATIENCE)
    assert next(steps).verified

    lines.made[-1].mute = lines.out = True
    began = lines.now
    assert not next(steps).verified
    assert lines.now - began == pytest.approx(PATIENCE)
    assert not failover.online

    began = lines.now
    for _ in range(5):
        assert not next(steps).verified
    assert lines.now == began


def test_with_the_session_still_there_resuming_takes_one_exchange() -> None:
    """And one for the line itself; a session that is gone takes no more, but a pass over its text."""
    target = toy()
    for forgets in (False, True):
        lines = Far(Server.of(Target(target.model)))
        _, steps = stream(lines, patience=100.0)
        tokens = [token for _ in range(3) for token in next(steps).tokens[0]]

        began = lines.now
        tokens += next(steps).tokens[0]
        assert lines.now - began == pytest.approx(lines.trip)

        lines.made[-1].cut = True
        if forgets:
            lines.server.store.forget(list(lines.server.store.records))
        began = lines.now
        tokens += next(steps).tokens[0]
        assert 2 * lines.trip <= lines.now - began <= 2 * lines.trip + 0.05  # a pause before the line is made

        text = Decoder(NoDrafter(), target).generate([PROMPT], Sampling(), Stop(max_tokens=len(tokens))).tokens[0]
        assert tuple(tokens) == text
