"""The shape that makes the most tokens per second, found while decoding."""

from collections.abc import Sequence
from itertools import accumulate
from threading import Lock

from attrs import define, field

from specdec.bounds import bounds
from specdec.context import Step
from specdec.interfaces import TreePolicy
from specdec.policies.account import Account
from specdec.policies.dynamic import likeliest
from specdec.policies.growth import Growth
from specdec.policies.odds import chances
from specdec.policies.plan import LEVELS
from specdec.tree import Tree


@define(eq=False, slots=False)
class Auto(TreePolicy):
    """Draft as deep and wide as yields the most tokens per second, or not at all.

    From each step it learns the cost of a pass by its number of nodes, the cost of drafting by the number of levels,
    and how often a guess is right, verified or not, by the drafter's confidence. A tree grows while one more level is
    worth its time, and as many nodes are verified as are worth their pass. Drafting may lose at most 1.5 % of the time,
    so that decoding is never much slower than plain decoding. A drafter that has to read a prompt before it can draft
    pays for that from what it gained before, but for the first two prompts, which show what it costs. If steps are not
    observed, the shape depends on the drafter alone.

    `depth` and `size` are limits, `width` is how many nodes of a level get children, and how many each.
    """

    depth: int = field(default=12, validator=bounds(1, LEVELS))
    width: int = field(default=4, validator=bounds(1, 8))
    size: int = field(default=32, validator=bounds(1))

    def __attrs_post_init__(self) -> None:
        self._lock, self._growth, self._account = Lock(), Growth(), Account(self.size)

    def begin(self, unread: int, room: int, observed: bool) -> None:
        with self._lock:
            plan, price = self._account.begin(unread, room, observed)
        self._growth.prepare(plan, unread, price)

    def widths(self, tree: Tree) -> dict[int, int]:
        growth = self._growth
        if len(tree) == 1:
            growth.begin(self._account.plan)
        plan = growth.plan
        if not plan.levels or tree.depth >= min(self.depth, len(plan.levels)):
            return {}
        leaves = self._promising(tree) if tree.depth else [0]
        if leaves:
            growth.levels = max(growth.levels, tree.depth + 1)
        return dict.fromkeys(leaves, self.width)

    def keep(self, tree: Tree) -> Sequence[int]:
        plan = self._growth.plan
        self._growth.trees.append(tree)
        if len(tree) == 1:
            return ()
        paths = chances(tree, plan.rates)
        nodes = likeliest(paths, range(1, len(tree)), len(plan.passes) - 1)
        expected = list(accumulate((paths[node] for node in nodes), initial=1.0))
        return nodes[: max(range(len(expected)), key=lambda count: expected[count] - plan.passes[count])]

    def observe(self, trees: Sequence[Tree | None], step: Step, drafting: float, verifying: float) -> None:
        with self._lock:
            self._account.observe(trees, step, self._growth, drafting, verifying)
        self._growth.end()

    def _promising(self, tree: Tree) -> list[int]:
        """List the leaves whose children are worth their nodes; none if all together are not worth a level."""
        plan = self._growth.plan
        paths, follows = chances(tree, plan.rates), plan.follows[min(tree.depth, len(plan.follows) - 1)]
        worth = {leaf: follows * paths[leaf] - plan.node for leaf in likeliest(paths, tree.leaves, self.width)}
        leaves = [leaf for leaf, gain in worth.items() if gain > 0]
        return leaves if sum(worth[leaf] for leaf in leaves) > plan.levels[tree.depth] else []
