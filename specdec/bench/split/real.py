"""The same texts over a link in real time, beside what was computed."""

from collections.abc import Sequence
from time import monotonic, sleep

from attrs import frozen

from specdec.bench.run import Task
from specdec.bench.split.delivery import read
from specdec.bench.split.link import Link
from specdec.bench.split.pace import Times, paced
from specdec.bench.split.shaped_line import ShapedLine
from specdec.interfaces import Drafter, Transport
from specdec.plugins import load_policy
from specdec.remote import Host, Remote
from specdec.split import Server
from specdec.target import Target


@frozen
class Real:
    """Tokens per second of one row, as computed and as measured."""

    link: str
    role: str
    drafter: str
    computed: float
    measured: float


def measure(
    target: Target,
    drafter: Drafter,
    policy: str,
    tasks: Sequence[Task],
    most: int,
    link: Link,
    times: Times,
    *,
    burst: int = 0,
) -> float:
    """Give tokens per second over a shaped line to a server with a thread of its own.

    Passes and levels take as long as `times` say, or as long as they need if that is more.
    """
    count, seconds = 0, 0.0
    host = Host(Server.of(target, [drafter]))
    try:
        with paced(target, times.target_pass):
            for task in tasks:

                def connect(seed: int = task.sampling.seed) -> Transport:
                    return ShapedLine(host.connect(), link, seed)

                remote = Remote(connect, burst=burst)
                tokens, _, took = read(remote, drafter, load_policy(policy), task, most, times, monotonic, sleep)
                remote.close()
                count, seconds = count + len(tokens), seconds + took
    finally:
        host.close()
    return count / seconds
