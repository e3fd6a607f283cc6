"""The trees that grow in a step, for a policy that learns from all of them."""

from collections.abc import Iterator, Sequence
from threading import local

from specdec.policies.plan import FIRST, Plan
from specdec.tree import Tree


class Growth(local):
    """A thread's trees in this step: policies may be shared by threads, and a step stays in its thread.

    `unread` is how many tokens the drafter has to read before it can draft, and `price` what was paid for that; None if
    it counts as a part of drafting.
    """

    def __init__(self) -> None:
        self.plan, self.unread, self.levels, self.trees = FIRST, 0, 0, list[Tree]()
        self.price: float | None = None
        self._prepared, self._begun = False, False

    def prepare(self, plan: Plan, unread: int, price: float | None) -> None:
        """Begin a step that will be observed."""
        self.end()
        self.plan, self.unread, self.price, self._prepared = plan, unread, price, True

    def begin(self, plan: Plan) -> None:
        """Begin a step with this plan, unless one was prepared or has begun; trees still here were not verified."""
        if not self._prepared and (self.trees or not self._begun):
            self.end()
            self.plan, self._begun = plan, True

    def end(self) -> None:
        """Forget this step."""
        self.levels, self.trees, self.price, self._prepared, self._begun = 0, [], None, False, False

    @property
    def drafted(self) -> bool:
        """Whether anything was drafted."""
        return any(len(tree) > 1 for tree in self.trees)

    def whole(self, read: Sequence[tuple[Tree, list[int]]]) -> Iterator[tuple[Tree, list[int]]]:
        """Put the whole trees in the place of what was verified of them, beside what was decided."""
        if [tree.tokens[0] for tree in self.trees] == [tree.tokens[0] for tree, _ in read]:
            return zip(self.trees, (tokens for _, tokens in read), strict=True)
        return iter(read)  # the drafter has a loop of its own
