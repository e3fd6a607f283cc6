"""The delivery of a text over a link: its time and traffic."""

from collections.abc import Callable, Sequence
from random import Random

from attrs import frozen

from specdec.bench.run import Task
from specdec.bench.split.link import Lane, Link
from specdec.bench.split.pace import Levels, PacedDrafter, Passes, Times
from specdec.bench.split.virtual_line import VirtualClock, VirtualLine
from specdec.decode import Decoder
from specdec.interfaces import Drafter, TreePolicy
from specdec.options import Stop
from specdec.remote import Remote
from specdec.split import Server
from specdec.split.messages import ID, Open, Verified, encode, pack_tokens
from specdec.target import Target


@frozen
class Delivery:
    """One text: its tokens, seconds until the `first` and the last of them arrived, and counts.

    `calls` are the client's requests, `passes` those of the target after the prompt; `up` and `down` are bytes of whole
    messages, without the greeting.
    """

    tokens: tuple[int, ...]
    first: float
    seconds: float
    calls: int
    passes: int
    up: int
    down: int


def deliver(
    server: Server,
    target: Target,
    drafter: Drafter,
    policy: TreePolicy,
    task: Task,
    most: int,
    link: Link,
    times: Times,
    *,
    burst: int = 0,
) -> Delivery:
    """Decode a text with the target at the other end of a link, on the real protocol in virtual time."""
    clock = VirtualClock()
    with Passes().of(target) as passes:
        line = VirtualLine(server, link, clock, passes, times.target_pass, task.sampling.seed)
        remote = Remote(lambda: line, clock=clock, sleep=clock.sleep, patience=3600.0, burst=burst)
        greeting = line.traffic.copy()
        tokens, first, seconds = read(
            remote, PacedDrafter(drafter, policy, times.level, clock, clock.sleep), task, most, clock
        )
        remote.close()
    traffic, decided = line.traffic.since(greeting), line.made - prompt_passes(task, server.chunk)
    return Delivery(tokens, first, seconds, line.calls, decided, traffic.bytes_up, traffic.bytes_down)


def read(
    remote: Remote, drafter: PacedDrafter, task: Task, most: int, clock: Callable[[], float]
) -> tuple[tuple[int, ...], float, float]:
    """Decode a text; return its tokens, and the seconds until the first and the last of them."""
    tokens, first, start = list[int](), 0.0, clock()
    for step in Decoder(drafter, remote, drafter.levels).stream([list(task.prompt)], [task.sampling], Stop(most)):
        tokens += step.tokens[0]
        first = first or clock() - start
    return tuple(tokens), first, clock() - start


@frozen
class ServerSteps:
    """The steps of a text decoded on the server, with drafts or without: drafted levels and decided tokens."""

    levels: tuple[int, ...]
    tokens: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, target: Target, drafter: Drafter, policy: TreePolicy, task: Task, most: int) -> "ServerSteps":
        """Decode a text beside the target."""
        levels, before = Levels(policy), 0
        counts, tokens = list[int](), list[tuple[int, ...]]()
        for step in Decoder(drafter, target, levels).stream([list(task.prompt)], [task.sampling], Stop(most)):
            counts.append(levels.count - before)
            tokens.append(tuple(step.tokens[0]))
            before = levels.count
        return cls(tuple(counts), tuple(tokens))

    def stream(self, task: Task, link: Link, times: Times, chunk: int) -> Delivery:
        """Compute the delivery if each step's tokens are sent when decided, after one request."""
        request = len(encode(_request(task)))
        lanes = [Lane(link, Random(2 * task.sampling.seed + way)) for way in (0, 1)]
        ready = lanes[0].arrival(0.0, request) + prompt_passes(task, chunk) * times.target_pass
        arrivals, down = list[float](), 0
        for levels, tokens in zip(self.levels, self.tokens, strict=True):
            ready += levels * times.level + times.target_pass
            size = len(encode(_answer(tokens)))
            arrivals.append(lanes[1].arrival(ready, size))
            down += size
        tokens = tuple(token for step in self.tokens for token in step)
        return Delivery(tokens, arrivals[0], arrivals[-1], 1, len(self.tokens), request, down)


def prompt_passes(task: Task, chunk: int) -> int:
    """The number of passes that read a prompt without its last token."""
    return -(-(len(task.prompt) - 1) // chunk)


def _request(task: Task) -> Open:
    """A request for a text without features."""
    return Open(bytes(ID), 1, pack_tokens(list(task.prompt)), {}, (), (), (), False, "", "float16", None)


def _answer(tokens: Sequence[int]) -> Verified:
    return Verified(bytes(ID), 1, 0, pack_tokens(list(tokens)), bytes(16), {})
