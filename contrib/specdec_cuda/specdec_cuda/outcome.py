"""What was decided on trees, as one tensor of int32 that comes down in one transfer.

A row of `outcome` [R, 2 W + 2], W one more than the depth of the deepest tree, holds

    path     W numbers   the nodes visited, the root first
    tokens   W numbers   what follows each: the accepted tokens, and at last the bonus token
    count    1 number    how many of each there are; 0 for padding. The others are -1
    failed   1 number    1 if the last node visited has no finite score to choose by
"""

from collections.abc import Sequence

from attrs import frozen

from specdec import Walk


@frozen
class Outcome:
    """What was decided on one tree."""

    path: list[int]
    tokens: list[int]
    failed: bool

    @classmethod
    def of(cls, row: Sequence[int]) -> "Outcome":
        """Read one row, once it is on the host."""
        *both, count, failed = row
        width = len(both) // 2
        return cls(both[:count], both[width : width + count], bool(failed))

    @property
    def walk(self) -> Walk:
        """The same as a rule gives it: without the root."""
        return Walk(self.path[1:], self.tokens[-1])
