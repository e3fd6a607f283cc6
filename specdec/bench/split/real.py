"""Decoding over a link in real time, to be compared with virtual time."""

from collections.abc import Sequence
from contextlib import closing
from time import monotonic, sleep
from typing import cast

from attrs import define, field, frozen

from specdec.bench.run import Task
from specdec.bench.split.delivery import deliver, read
from specdec.bench.split.link import Link
from specdec.bench.split.pace import PacedDrafter, Passes, Times
from specdec.bench.split.shaped_line import ShapedLine
from specdec.interfaces import Drafter
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
    paced = [PacedDrafter(drafter, load_policy(policy), times.level, monotonic, sleep) for _ in tasks]
    with closing(Host(server)) as host, passes.of(target, times.target_pass):
        runs = [_decode(host, link, *pair, most, burst) for pair in zip(paced, tasks, strict=True)]
    levels = sum(one.levels.count for one in paced)
    real = Times(server.seconds / passes.count, sum(one.seconds for one in paced) / max(levels, 1))
    fresh = Server.of(target, [drafter])
    found = [
        deliver(fresh, target, drafter, load_policy(policy), task, most, link, real, burst=burst) for task in tasks
    ]
    count, seconds = sum(tokens for tokens, _ in runs), sum(seconds for _, seconds in runs)
    computed = count / sum(one.seconds for one in found)
    return Real(link.name, role, name, 1000 * real.target_pass, 1000 * real.level, count / seconds, computed)


def _decode(host: Host, link: Link, drafter: PacedDrafter, task: Task, most: int, burst: int) -> tuple[int, float]:
    """Decode one text over the link; return its number of tokens and the seconds that it took."""
    remote = Remote(lambda: ShapedLine(host.connect(), link, task.sampling.seed), burst=burst)
    tokens, _, seconds = read(remote, drafter, task, most, monotonic)
    remote.close()
    return len(tokens), seconds
