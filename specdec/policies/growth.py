"""The trees that grow in a step, for a policy that learns from all of them."""

from collections.abc import Iterator, Sequence
from threading import local

from specdec.policies.plan import FIRST, Plan
from specdec.tree import Tree


class Growth(local):
    """A thread's trees in this step: policies may be shared by threads, and a step stays in its thread.

    `unread` is how many tokens the drafter had to read before it could draft.
    """

    def __init__(self) -> None:
        self.levels, self.trees, self.plan, self.begun, self.unread = 0, list[Tree](), FIRST, False, 0
        self._next: Plan | None = None

    def prepare(self, plan: Plan, unread: int) -> None:
        """Take the plan for the next step."""
        self._next, self.unread = plan, unread

    def begin(self, plan: Plan) -> None:
        """Begin a step, with this plan if none was prepared; one whose trees are still here was not verified."""
        if self.trees or not self.begun:
            self.end()
            self.plan, self.begun, self._next = self._next or plan, True, None

    def end(self) -> None:
        """Forget this step."""
        self.levels, self.trees, self.begun = 0, [], False

    def whole(self, read: Sequence[tuple[Tree, list[int]]]) -> Iterator[tuple[Tree, list[int]]]:
        """Put the whole trees in the place of what was verified of them, beside what was decided."""
        if [tree.tokens[0] for tree in self.trees] == [tree.tokens[0] for tree, _ in read]:
            return zip(self.trees, (tokens for _, tokens in read), strict=True)
        return iter(read)  # the drafter has a loop of its own
