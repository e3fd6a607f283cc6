"""What decoding has cost and gained, and what the next tree should be like because of it."""

from collections.abc import Sequence
from itertools import pairwise, takewhile

from specdec.context import Step
from specdec.policies.curve import Curve
from specdec.policies.growth import Growth
from specdec.policies.odds import Odds
from specdec.policies.plan import FIRST, LEVELS, PLAIN, Plan
from specdec.policies.readings import Readings
from specdec.tree import Tree

CREDIT = 0.4
"""Steps of plain decoding that drafting may lose at first."""
INTEREST = 0.015
"""Share of the time that it may lose later."""
RESERVE = 0.25
"""What must be earned again, once the credit is spent, before anything is drafted."""
SAVINGS = 10.0
"""Most of what it gained, in steps of plain decoding, that it may lose again."""
RISK = 0.75
"""What one pass may lose beyond half of the credit, in steps of plain decoding."""
FURTHER = 3
"""Largest allowed pass, as a multiple of the largest one measured; the same for a tree's levels."""
FEW = 9
"""Nodes of a pass, its root included, at which the price of one more is measured."""
MEMORY = 32
"""Steps over which gains are averaged."""
CHECK = 200
"""Steps after which a plain one shows again what it takes."""
SHORTEST = 1e-9
"""Seconds that a step takes at least, whatever the clock says."""
RECENT = 8
"""Unread tokens of a sequence up to which reading them counts as a part of drafting."""
OFTEN = 8
"""Steps after which prices are worked out again, once there is a memory; working them out takes time too."""


class Account:
    """Keeps count of what drafting cost and gained. Its state depends only on what it observed.

    Drafting has a credit, in steps of plain decoding: what it gains is added and what it loses is taken away, and
    without any the target decodes plainly until the interest has made a new one. So decoding is never much slower than
    without drafts, however wrong all else that was learnt may be.

    Reading is paid for apart: what has been read is paid, and the trees after it should not suffer from it.
    """

    def __init__(self, size: int) -> None:
        self._size, self._odds = size, Odds()
        self._plain, self._drafting, self._verifying = Curve(), Curve(), Curve()
        self._steps, self._rows, self._credit, self._saving = 0, 1, CREDIT, False
        self._checked, self._ready, self._readings = 0, False, Readings()
        self._tokens, self._seconds = 0.0, 0.0
        self.plan = FIRST

    def begin(self, unread: int, room: int, observed: bool) -> tuple[Plan, float | None]:
        """Give the plan for the next step, and what was paid for reading `unread` tokens first, if that has a price.

        Where it is not paid for, nothing is drafted.
        """
        if not self._steps:
            return PLAIN, None  # so that nothing is lost before anything is known
        if not self.plan.levels or unread <= RECENT * self._rows:
            return self.plan, None
        steps = room / max(self._tokens, 1.0)
        price = self._readings.pay(unread, max(self._plain(self._rows), SHORTEST), steps, observed)
        return (PLAIN, None) if price is None else (self.plan, price)

    def observe(
        self, trees: Sequence[Tree | None], step: Step, growth: Growth, drafting: float, verifying: float
    ) -> None:
        """Take in a step: what was drafted, verified and decided, and the seconds that this took."""
        read = [(tree, tokens) for tree, tokens in zip(trees, step.tokens, strict=True) if tree and tokens]
        if not read:
            return
        rows, nodes = len(read), max(len(tree) for tree, _ in read)
        gained = sum(len(tokens) for _, tokens in read) / rows
        if growth.levels and not self._ready:
            self._ready = True  # the first drafts of a process are slow, for much is loaded: they say nothing of others
            return
        if growth.price is not None:
            drafting = self._measure_reading(growth, growth.price, rows, drafting)
        seconds = max(self._measure(growth, rows, nodes, drafting, verifying), SHORTEST)
        for tree, tokens in growth.whole(read):
            self._odds.observe(tree, tokens)
        self._steps += 1
        self._tokens += (gained - self._tokens) / min(self._steps, MEMORY)
        self._seconds += (seconds - self._seconds) / min(self._steps, MEMORY)
        if rows in self._plain:
            self._book(gained, seconds / max(self._plain(rows), SHORTEST), drafted=growth.levels > 0)
        soon = self._steps < MEMORY or self._saving or self.plan is PLAIN
        if soon or rows != self._rows or self._steps % OFTEN == 0:
            self._rows, self.plan = rows, self._new_plan(rows)

    def _book(self, gained: float, spent: float, drafted: bool) -> None:
        """Add to the credit what a step gained, and take away what it took, both in steps of plain decoding."""
        self._credit = min(max(self._credit + gained - (1 - INTEREST) * spent, -RISK), SAVINGS)
        self._saving = self._credit <= (RESERVE if self._saving else 0.0)
        self._readings.book(gained, spent, INTEREST, drafted=drafted)

    def _measure_reading(self, growth: Growth, price: float, rows: int, drafting: float) -> float:
        """Take in what reading took of the time for drafting, and give what the levels took, as far as is known."""
        if not growth.drafted:  # as where there is no room
            self._readings.refund(price)
            return drafting
        levels = min(self._drafting(growth.levels), drafting)
        self._readings.measure(growth.unread, drafting - levels, price, max(self._plain(rows), SHORTEST))
        return levels

    def _measure(self, growth: Growth, rows: int, nodes: int, drafting: float, verifying: float) -> float:
        """Take in what a step took, but for reading; give what such a step takes."""
        levels = growth.levels
        if levels == 0:
            self._checked = self._steps
            self._drafting.measure(0, drafting)
            if rows not in self._verifying:
                self._verifying.measure(rows, verifying)
            return self._plain.measure(rows, drafting + verifying)
        known = growth.price is not None and growth.drafted  # then it took what such levels took before
        drafting = drafting if known else self._drafting.measure(levels, drafting)
        return drafting + self._verifying.measure(rows * nodes, verifying)

    def _new_plan(self, rows: int) -> Plan:
        if self._saving or rows not in self._plain or self._steps - self._checked >= CHECK:
            return PLAIN
        plain = max(self._plain(rows), SHORTEST)
        pace = max(1 / plain, self._tokens / self._seconds)
        ends = self._affordable_levels(rows, plain)
        if len(ends) < 2:
            return PLAIN
        levels = [pace * max(after - before, 0.0) for before, after in pairwise(ends)]
        passes = [pace * self._hoped(rows * (1 + nodes)) for nodes in range(self._most_nodes(rows, plain) + 1)]
        node = pace * (self._hoped(rows * FEW) - self._hoped(rows * 2)) / (FEW - 2)
        return Plan(self._odds.rates(), self._odds.follows(), levels, passes, max(node, 0.0))

    def _affordable_levels(self, rows: int, plain: float) -> list[float]:
        """List how long drafting takes by its levels, none first, as far as the credit goes."""
        most = min(FURTHER * self._drafting.largest + 1, LEVELS)
        extra = self._verifying(rows) - plain
        ends = (self._drafting(level) for level in range(most + 1))
        return list(takewhile(lambda end: end + extra < self._credit * plain, ends))

    def _most_nodes(self, rows: int, plain: float) -> int:
        """Count the drafted nodes that may be verified: not many more than ever, and no more than are affordable."""
        limit = self._verifying(rows) + (RISK + self._credit / 2) * plain
        most = min(FURTHER * self._verifying.largest // rows - 1, self._size)
        return sum(1 for _ in takewhile(lambda node: self._hoped(rows * (1 + node)) <= limit, range(1, most + 1)))

    def _hoped(self, nodes: int) -> float:
        """Estimated time of a pass; optimistic for more nodes than were ever read."""
        known = min(nodes, self._verifying.largest)
        return (self._verifying(nodes) + self._verifying(known)) / 2
