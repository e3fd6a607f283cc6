"""What a pass brings to a session."""

from collections.abc import Sequence

from attrs import define, frozen

from specdec.features import Needs
from specdec.prefix import Prefix
from specdec.target.engine import Reading, Slot


@define(eq=False)
class Session:
    """One sequence. The first `slot.length` of its decided tokens have been read; the last of them is the root."""

    slot: Slot
    prefix: Prefix
    needs: Needs

    @property
    def unread(self) -> int:
        """How many tokens before the root are still to be read."""
        return len(self.prefix.tokens) - 1 - self.slot.length


@frozen(eq=False)
class Decision:
    """What a pass brought to a session: the tokens that were decided, of which all but the last were drafted.

    Reading a part of a prompt decides nothing. `nodes` are those of the pass that the session keeps, in the cache's
    columns from `start` on.
    """

    session: Session
    tokens: list[int]
    nodes: Sequence[int]
    start: int
    reading: Reading
    row: int
    """The session's row in the reading."""
