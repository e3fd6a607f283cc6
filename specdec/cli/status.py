"""What is known of the line to a server."""

from collections.abc import Callable
from enum import Enum, auto

from attrs import define

from specdec.cli.transcript import Change


class _Line(Enum):
    UP = auto()
    LOST = auto()
    ALONE = auto()


@define(eq=False)
class Status:
    """Tells when something changes."""

    tell: Callable[[str], None]
    _line: _Line = _Line.UP

    def lost(self) -> None:
        """Take note that a line has to be made again."""
        if self._line is _Line.UP:
            self._line = _Line.LOST
            self.tell("connection lost, trying again")

    def follow(self, change: Change) -> None:
        """Take note of what a step changed."""
        if not change.verified:
            if self._line is not _Line.ALONE:
                self._line = _Line.ALONE
                self.tell("connection lost, continuing alone")
        elif self._line is not _Line.UP:
            alone, self._line = self._line is _Line.ALONE, _Line.UP
            taken = f", {counted(change.retracted, 'token')} taken back" if alone else ""
            self.tell(f"connected again{taken}")


def counted(number: int, what: str) -> str:
    """Count things in words."""
    return f"{number} {what}{'s' * (number != 1)}"
