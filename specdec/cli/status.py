"""The state of the line to a server, as it is reported to the user."""

from collections.abc import Callable
from enum import Enum, auto

from attrs import define

from specdec.cli.transcript import Change


class _Line(Enum):
    NEW = auto()
    TRYING = auto()
    UP = auto()
    LOST = auto()
    ALONE = auto()


@define(eq=False)
class Status:
    """Reports changes of the line's state to `tell`, in words."""

    address: str
    tell: Callable[[str], None]
    _line: _Line = _Line.NEW

    def connected(self) -> None:
        """Take note that a line was made; after a loss only a verified step shows that it works."""
        if self._line in (_Line.NEW, _Line.TRYING):
            self._become(_Line.UP, f"connected to {self.address}")

    def lost(self) -> None:
        """Take note that a line has to be made again."""
        if self._line is _Line.NEW:
            self._become(_Line.TRYING, f"no connection to {self.address} yet, trying again")
        elif self._line is _Line.UP:
            self._become(_Line.LOST, "connection lost, trying again")

    def follow(self, change: Change) -> None:
        """Take note of whether a step was verified."""
        if not change.verified and self._line is not _Line.ALONE:
            known = self._line in (_Line.UP, _Line.LOST)
            self._become(_Line.ALONE, f"{'connection lost' if known else 'no connection'}, continuing alone")
        elif change.verified and self._line is _Line.ALONE:
            self._become(_Line.UP, f"connected again, {counted(change.retracted, 'token')} taken back")
        elif change.verified and self._line is _Line.LOST:
            self._become(_Line.UP, "connected again")

    def _become(self, line: _Line, words: str) -> None:
        self._line = line
        self.tell(words)


def counted(number: int, what: str) -> str:
    """Write a number with its noun, in the plural if need be."""
    return f"{number} {what}{'s' * (number != 1)}"
