"""The shape that makes the most tokens per second, found while decoding."""

from collections.abc import Sequence
from itertools import accumulate
from threading import Lock, local

from attrs import define, field

from specdec.bounds import bounds
from specdec.context import Step
from specdec.interfaces import TreePolicy
from specdec.policies.odds import chances
from specdec.policies.plan import LEVELS, Account
from specdec.tree import Tree


@define(eq=False, slots=False)
class Auto(TreePolicy):
    """Draft what is worth its time: as deep and wide as makes the most tokens per second, or nothing.

    Each step tells what a pass costs by its nodes, what drafting costs by its levels, and how often tokens are
    accepted by how sure the drafter was of them. A tree grows while a level promises more tokens than would be made in
    the same time without it, and as many nodes are verified as are worth their pass. A hundredth of the time goes
    into trying what seems slower. Where no times are told, the shape depends on the drafter alone.

    `depth` and `size` are limits, `width` is how many nodes of a level get children, and how many each; `sharpness` is
    where the learning starts from.
    """

    depth: int = field(default=12, validator=bounds(1, LEVELS[-1]))
    width: int = field(default=4, validator=bounds(1, 8))
    size: int = field(default=32, validator=bounds(1))
    sharpness: float = field(default=3.0, validator=bounds(0, above=True))

    def __attrs_post_init__(self) -> None:
        self._lock, self._here = Lock(), local()
        self._account = Account(self.size)
        self._plan = self._account.plan()

    def widths(self, tree: Tree) -> dict[int, int]:
        plan, depth = self._plan, tree.depth
        if depth >= min(self.depth, plan.depth) or not plan.drafts:
            return {}
        paths, follows = chances(tree, plan.rates), plan.follows[min(depth, len(plan.follows) - 1)]
        worth = {node: follows * paths[node] - plan.node for node in likeliest(tree.leaves, paths, self.width)}
        leaves = [node for node, gain in worth.items() if gain > 0] if depth else [0]
        if depth and sum(worth[node] for node in leaves) <= plan.levels[depth]:
            return {}
        self._here.levels = max(self._levels, depth + 1)
        return dict.fromkeys(leaves, self.width)

    def keep(self, tree: Tree) -> Sequence[int]:
        plan = self._plan
        paths = chances(tree, plan.rates)
        nodes = likeliest(range(1, len(tree)), paths, self.size)
        expected = list(accumulate((paths[node] for node in nodes), initial=1.0))
        best = max(range(len(expected)), key=lambda count: expected[count] - plan.passes[count])
        return nodes[: max(best, plan.trial or 0)]

    def observe(self, trees: Sequence[Tree | None], step: Step, drafting: float, verifying: float) -> None:
        levels, self._here.levels = self._levels, 0
        with self._lock:
            self._account.observe(trees, step, levels, drafting, verifying)
            self._plan = self._account.plan()

    @property
    def _levels(self) -> int:
        """How deep this thread's trees are: policies may be shared, and a step stays in its thread."""
        levels: int = getattr(self._here, "levels", 0)
        return levels


def likeliest(nodes: Sequence[int], paths: Sequence[float], count: int) -> list[int]:
    """List the `count` likeliest nodes, parents before their children."""
    return sorted(nodes, key=paths.__getitem__, reverse=True)[:count]
