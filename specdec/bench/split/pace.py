"""What takes time: passes of the target, and levels of the drafter."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic, perf_counter, sleep

from attrs import define, field, frozen

from specdec.bench.entry import Clock, Speculative
from specdec.bench.run import Task
from specdec.bounds import bounds
from specdec.context import Context
from specdec.interfaces import Drafter, TreePolicy
from specdec.target import Target
from specdec.tree import Tree


@frozen
class Times:
    """Seconds of a pass of the target, whatever the number of nodes, and of a level of the drafter."""

    target_pass: float = field(validator=bounds(0, above=True))
    level: float = field(validator=bounds(0))


class Levels(TreePolicy):
    """A policy that counts the levels that the drafter is asked for."""

    def __init__(self, policy: TreePolicy) -> None:
        self._policy, self.count = policy, 0
        self.sampled, self.draws, self.sharpness = policy.sampled, policy.draws, policy.sharpness

    def widths(self, tree: Tree) -> Mapping[int, int]:
        widths = self._policy.widths(tree)
        self.count += bool(widths)
        return widths

    def keep(self, tree: Tree) -> Collection[int]:
        return self._policy.keep(tree)


class PacedDrafter(Drafter):
    """A drafter of one sequence that takes `level` seconds for each level, or longer if it needs to.

    `levels` is the policy to decode with; `seconds` is the time that drafting has taken.
    """

    def __init__(
        self,
        drafter: Drafter,
        policy: TreePolicy,
        level: float,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._drafter, self._level, self._clock, self._sleep = drafter, level, clock, sleep
        self.levels, self.seconds = Levels(policy), 0.0
        for name in Drafter.__annotations__:
            setattr(self, name, getattr(drafter, name))

    def begin(self, context: Context) -> None:
        self._drafter.begin(context)

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        start, before = self._clock(), self.levels.count
        trees = self._drafter.propose(context, policy)
        end = start + (self.levels.count - before) * self._level
        self._sleep(max(end - self._clock(), 0.0))
        self.seconds += self._clock() - start
        return trees

    def unread(self, context: Context) -> int:
        return self._drafter.unread(context)

    def cut(self, lengths: Sequence[int]) -> None:
        self._drafter.cut(lengths)


@define
class Passes:
    """Counts passes of a target, including those over chunks of a prompt."""

    count: int = 0

    @contextmanager
    def of(self, target: Target, least: float = 0.0) -> Iterator["Passes"]:
        """Count while inside, and have each pass take `least` seconds, or longer if it needs to."""
        start = 0.0

        def begin(*_: object) -> None:
            nonlocal start
            start = monotonic()

        def end(*_: object) -> None:
            self.count += 1
            if least:
                sleep(max(start + least - monotonic(), 0.0))

        module = target.model.base_model
        hooks = module.register_forward_pre_hook(begin), module.register_forward_hook(end)
        try:
            yield self
        finally:
            for hook in hooks:
                hook.remove()


def measure_times(
    target: Target, drafter: Drafter, policy: TreePolicy, task: Task, most: int, clock: Clock = perf_counter
) -> Times:
    """Measure passes and levels on this machine, by decoding a text a second time.

    The drafter's reading of the prompt is no part of a level, as in all that `PacedDrafter` measures.
    """
    for _ in range(2):
        paced = PacedDrafter(drafter, policy, 0.0, clock, sleep)
        trace = Speculative("timed", paced, target, paced.levels, clock).decode(task.prompt, task.sampling, most)
    return Times(trace.verify / len(trace.lengths), paced.seconds / max(paced.levels.count, 1))
