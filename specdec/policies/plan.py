"""What decoding has cost and gained, and what the next tree should be like because of it."""

from collections.abc import Sequence
from itertools import pairwise

from attrs import frozen

from specdec.context import Step
from specdec.policies.curve import Curve
from specdec.policies.odds import Odds
from specdec.tree import Tree

PASSES = tuple(2**power for power in range(11))
"""Nodes of a pass whose cost is told apart."""
LEVELS = (0, 1, 2, 3, 4, 6, 8, 12, 16)
"""Levels of a tree whose drafting is told apart."""
SPENT = 0.01
"""Share of the time that may go into trying what seems slower."""
TRIED = (0, 4, 1, 8, 2, 16)
"""How many drafted nodes are tried, in turn."""
START = (0, None, 0, None)
"""How many nodes the first steps draft whatever it costs; None: as many as it seems worth."""
FEW = 9
"""Nodes of a pass, its root included, that one more is compared with."""
SHALLOW = 3
"""Levels of the first trees."""
MEMORY = 32
"""Steps over which gains are averaged."""
OFTEN = 8
"""Steps after which prices are worked out again, once there is a memory; working them out takes time too."""


@frozen
class Plan:
    """How the next tree grows. Prices are in tokens: what a sequence would gain in the same time without it."""

    rates: list[float]
    """The chances that tokens are accepted, as `chances` reads them."""
    follows: list[float]
    """The chance, by depth, that some child of an accepted node is accepted."""
    levels: list[float]
    """The price of drafting one more level, by the levels that there are."""
    passes: list[float]
    """The price of a pass, by the drafted nodes of a sequence that it reads."""
    node: float
    """The price of one node more in a pass of a few."""
    rows: int
    """How many sequences share the pass."""
    depth: int
    """Most levels: few before it is known what they cost."""
    drafts: bool
    trial: int | None
    """How many nodes to verify at least, whatever they are worth."""


class Account:
    """Keeps count of costs and gains; all that happens to it is a function of what it is told."""

    def __init__(self, size: int) -> None:
        self._size, self._steps, self._trials, self._odds = size, 0, 0, Odds()
        self._verifying, self._drafting = Curve(PASSES, 1.0, 0.1), Curve(LEVELS, 0.0, 0.1)
        self._drafted, self._tokens, self._seconds = 0, 0.0, 0.0
        self._paid, self._credit, self._rows = True, 0.0, 1
        self._trial: int | None = None
        self._plan = self._new_plan(self._paid)

    def plan(self) -> Plan:
        """Plan the next step, at prices of a few steps ago."""
        drafts = self._paid if self._trial is None else self._trial > 0
        same = (self._plan.drafts, self._plan.trial, self._plan.rows) == (drafts, self._trial, self._rows)
        if not same or self._steps < MEMORY or self._steps % OFTEN == 0:
            self._plan = self._new_plan(drafts)
        return self._plan

    def _new_plan(self, drafts: bool) -> Plan:
        pace, rows = self._pace(), self._rows
        cheap = 0.5 if self._trial else 1.0  # so that what once seemed not worth drafting is drafted again
        ends = [self._drafting(level) for level in range(LEVELS[-1] + 1)]
        levels = [cheap * pace * max(after - before, 0.0) for before, after in pairwise(ends)]
        passes = [pace * self._verifying(rows * (1 + nodes)) for nodes in range(self._size + 1)]
        node = cheap * pace * (self._verifying(rows * FEW) - self._verifying(rows * 2)) / (FEW - 2)
        depth = SHALLOW if self._drafted < len(START) // 2 else LEVELS[-1]
        prices = levels, passes, max(node, 0.0)
        return Plan(self._odds.rates(), self._odds.follows(), *prices, rows, depth, drafts, self._trial)

    def observe(self, trees: Sequence[Tree | None], step: Step, levels: int, drafting: float, verifying: float) -> None:
        """Take in a step: what was verified and decided, how many levels were drafted, and the seconds of both."""
        read = [(tree, tokens) for tree, tokens in zip(trees, step.tokens, strict=True) if tree and tokens]
        if not read:
            return
        rows, nodes = len(read), max(len(tree) for tree, _ in read)
        gained = sum(len(tokens) for _, tokens in read) / rows
        for tree, tokens in read:
            self._odds.observe(tree, tokens)
        self._rows = rows
        self._drafting.measure(levels, drafting)
        self._verifying.measure(rows * nodes, verifying)
        seconds = self._drafting(levels) + self._verifying(rows * nodes)
        if levels:
            self._average(gained, seconds)
            self._paid = gained * self._plain() > seconds or self._tokens * self._plain() >= self._seconds
        self._steps += 1
        self._credit += SPENT * seconds
        if self._trial is not None or not self._paid:
            self._credit -= max(seconds - gained / self._pace(), 0.0)
        self._trial = self._next_trial()

    def _next_trial(self) -> int | None:
        if self._steps <= len(START):
            return START[self._steps - 1]
        nodes = TRIED[self._trials % len(TRIED)]
        cost = self._drafting(1 if nodes else 0) + self._verifying(self._rows * (1 + nodes)) - 1 / self._pace()
        if cost > self._credit:
            return None
        self._trials += 1
        return nodes

    def _average(self, tokens: float, seconds: float) -> None:
        self._drafted += 1
        rate = 1 / min(self._drafted, MEMORY)
        self._tokens += rate * (tokens - self._tokens)
        self._seconds += rate * (seconds - self._seconds)

    def _plain(self) -> float:
        """How long plain decoding takes for a step, which gives one token."""
        return self._drafting(0) + self._verifying(self._rows)

    def _pace(self) -> float:
        """How many tokens a sequence gains per second, with drafts or without."""
        plain = 1 / max(self._plain(), 1e-9)
        return max(plain, self._tokens / self._seconds) if self._seconds else plain
