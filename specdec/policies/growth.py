"""The trees that grow in a step, for a policy that learns from all of them."""

from collections.abc import Iterator, Sequence
from threading import local

from specdec.policies.plan import FIRST, PLAIN, Plan
from specdec.tree import Tree


class Growth(local):
    """A thread's trees in this step: policies may be shared by threads, and a step stays in its thread."""

    def __init__(self) -> None:
        self.levels, self.trees, self.plan, self.begun = 0, list[Tree](), FIRST, False
        self._spared = False

    def spare(self) -> None:
        """Draft nothing in the next step."""
        self._spared = True

    def begin(self, plan: Plan) -> None:
        """Take the plan for a new step; one whose trees are still here was not verified."""
        if self.trees or not self.begun:
            self.end()
            self.plan, self.begun = PLAIN if self._spared else plan, True
            self._spared = False

    def end(self) -> None:
        """Forget this step."""
        self.levels, self.trees, self.begun = 0, [], False

    def whole(self, read: Sequence[tuple[Tree, list[int]]]) -> Iterator[tuple[Tree, list[int]]]:
        """Put the whole trees in the place of what was verified of them, beside what was decided."""
        if [tree.tokens[0] for tree in self.trees] == [tree.tokens[0] for tree, _ in read]:
            return zip(self.trees, (tokens for _, tokens in read), strict=True)
        return iter(read)  # the drafter has a loop of its own
