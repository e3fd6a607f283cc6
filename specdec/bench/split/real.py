"""Decoding over a link in real time, to be compared with virtual time."""

from collections.abc import Sequence
from time import monotonic, sleep
from typing import cast

from attrs import define, field, frozen

from specdec.bench.run import Task
from specdec.bench.split.delivery import deliver, read
from specdec.bench.split.link import Link
from specdec.bench.split.pace import PacedDrafter, Passes, Times
from specdec.bench.split.shaped_line import ShapedLine
from specdec.interfaces import Drafter, Transport
from specdec.plugins import load_policy
from specdec.remote import Host, Remote
from specdec.split import Server
from specdec.target import Target


@frozen
class Real:
    """One row's tokens per second as `measured`, and as `computed` in virtual time from the measured milliseconds."""

    link: str
    role: str
    drafter: str
    pass_ms: float
    level_ms: float
    measured: float
    computed: float


@define(eq=False)
class TimedServer(Server):
    """Adds up the seconds of turns with work."""

    seconds: float = field(default=0.0, init=False)

    def tick(self) -> bool:
        start = monotonic()
        worked = Server.tick(self)
        self.seconds += monotonic() - start if worked else 0.0
        return worked


def compare(
    target: Target,
    name: str,
    drafter: Drafter,
    policy: str,
    tasks: Sequence[Task],
    most: int,
    link: Link,
    times: Times,
    role: str,
    burst: int,
) -> Real:
    """Decode over a shaped line from a server in a thread of its own, then again in virtual time.

    Passes and levels take the seconds of `times`, or longer if they need to; the server's other work counts as part of
    its passes. The virtual run uses the times that were measured.
    """
    server, passes = cast("TimedServer", TimedServer.of(target, [drafter])), Passes()
    count, seconds, levels, drafting = 0, 0.0, 0, 0.0
    host = Host(server)
    try:
        with passes.of(target, times.target_pass):
            for task in tasks:

                def connect(seed: int = task.sampling.seed) -> Transport:
                    return ShapedLine(host.connect(), link, seed)

                remote = Remote(connect, burst=burst)
                slow = PacedDrafter(drafter, load_policy(policy), times.level, monotonic, sleep)
                tokens, _, took = read(remote, slow, task, most, monotonic)
                remote.close()
                count, seconds = count + len(tokens), seconds + took
                levels, drafting = levels + slow.levels.count, drafting + slow.seconds
    finally:
        host.close()
    real = Times(server.seconds / passes.count, drafting / max(levels, 1))
    fresh = Server.of(target, [drafter])
    found = [
        deliver(fresh, target, drafter, load_policy(policy), task, most, link, real, burst=burst) for task in tasks
    ]
    computed = count / sum(one.seconds for one in found)
    return Real(link.name, role, name, 1000 * real.target_pass, 1000 * real.level, count / seconds, computed)
