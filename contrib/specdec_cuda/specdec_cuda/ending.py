"""Where the path of each tree ends, as one tensor of int32 that comes down in one transfer: 12 bytes for each.

A row of `endings` [R, 3] holds

    node     the last one accepted, the root if there is no other; -1 for padding
    bonus    the token that follows it
    failed   1 if the target has no probabilities after it, or if rounding left nothing of them over
"""

from typing import NamedTuple

from specdec import Tree, Walk


class Ending(NamedTuple):
    """Where one path ends."""

    node: int
    bonus: int
    failed: int

    def walk(self, tree: Tree) -> Walk | None:
        """The same as a rule gives it; None where that failed."""
        return None if self.failed else Walk(tree.path(self.node), self.bonus)
