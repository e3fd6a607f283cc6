"""A split target over several links, compared with a server that does everything."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import asdict, define, field, frozen

from specdec.bench.entry import PLAIN
from specdec.bench.run import Task
from specdec.bench.split.delivery import Delivery, ServerSteps, deliver
from specdec.bench.split.link import Link
from specdec.bench.split.pace import Times
from specdec.bench.split.real import Real, compare
from specdec.bench.split.rows import BURST, ON_SERVER, SPLIT, STREAMING, Row
from specdec.bench.split.shapes import Shape, choose, try_shapes
from specdec.drafters import NoDrafter
from specdec.errors import SpecdecError
from specdec.interfaces import Drafter, TreePolicy
from specdec.plugins import load_policy
from specdec.policies import Chain
from specdec.split import Server
from specdec.target import Target
from specdec.target.sessions import CHUNK

BURSTS = {SPLIT: 0, BURST: 64}
"""Roles of a split target, with the burst of each."""


@frozen
class Measured:
    """All results: milliseconds of a pass, and of a level by drafter; the rows, and those in real time."""

    target: str
    pass_ms: float
    level_ms: Mapping[str, float]
    rows: tuple[Row, ...]
    real: tuple[Real, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The results as JSON has them."""
        return asdict(self)


@define(eq=False)
class Experiment:
    """Delivers the same texts in all roles; `times` is by drafter, and the first drafter also drafts on the server."""

    target: Target
    drafters: Mapping[str, Drafter]
    tasks: Sequence[Task]
    tuning: Sequence[Task]
    most: int
    times: Mapping[str, Times]
    _shapes: dict[str, list[Shape]] = field(factory=dict, init=False)
    _plain: list[ServerSteps] = field(factory=list, init=False)
    _on_server: list[ServerSteps] = field(factory=list, init=False)

    def rows(self, links: Sequence[Link], on_row: Callable[[str], None] = lambda name: None) -> list[Row]:
        """Make all rows of these links.

        Raises:
            SpecdecError: a text is not that of plain decoding.
        """
        self._plain = self._steps(NoDrafter(), Chain(1))
        self._shapes = {
            name: try_shapes(self.target, drafter, self.tuning, self.most) for name, drafter in self.drafters.items()
        }
        first = next(iter(self.drafters))
        policy = choose(self._shapes[first], None, self.times[first])
        self._on_server = self._steps(self.drafters[first], load_policy(policy))
        made = list[Row]()
        for link in links:
            for row in self._over(link):
                made.append(row)
                on_row(f"{link.name}: {row.drafter}")
        return made

    def real(self, link: Link, rows: Sequence[Row]) -> list[Real]:
        """Have the first drafter decode over the link in real time, for comparison with virtual time."""
        name = next(iter(self.drafters))
        drafter, times = self.drafters[name], self.times[name]
        chosen = [row for row in rows if (row.link, row.drafter) == (link.name, name) and row.role in BURSTS]
        about = self.tasks, self.most, link, times
        return [compare(self.target, name, drafter, row.policy, *about, row.role, BURSTS[row.role]) for row in chosen]

    def _over(self, link: Link) -> Iterator[Row]:
        first = next(iter(self.drafters))
        policy = choose(self._shapes[first], None, self.times[first])
        yield self._row(link, STREAMING, PLAIN, "", self._streamed(self._plain, link))
        yield self._row(link, ON_SERVER, first, policy, self._streamed(self._on_server, link))
        for role, burst in BURSTS.items():
            for name in self.drafters:
                policy = choose(self._shapes[name], link, self.times[name])
                yield self._row(link, role, name, policy, self._split(name, policy, link, burst))

    def _steps(self, drafter: Drafter, policy: TreePolicy) -> list[ServerSteps]:
        return [ServerSteps.of(self.target, drafter, policy, task, self.most) for task in self.tasks]

    def _split(self, name: str, policy: str, link: Link, burst: int) -> list[Delivery]:
        drafter, times = self.drafters[name], self.times[name]
        server = Server.of(self.target, [drafter])
        return [
            deliver(server, self.target, drafter, load_policy(policy), task, self.most, link, times, burst=burst)
            for task in self.tasks
        ]

    def _streamed(self, texts: Sequence[ServerSteps], link: Link) -> list[Delivery]:
        times, pairs = next(iter(self.times.values())), zip(texts, self.tasks, strict=True)
        return [steps.stream(task, link, times, CHUNK) for steps, task in pairs]

    def _row(self, link: Link, role: str, drafter: str, policy: str, found: Sequence[Delivery]) -> Row:
        for plain, delivery in zip(self._plain, found, strict=True):
            if delivery.tokens != tuple(token for step in plain.tokens for token in step):
                raise SpecdecError(f"expected the text of plain decoding over {link.name}, got another from {drafter}")
        return Row.of(link.name, role, drafter, policy, found)
