"""Features that are gathered when they are first read, for a drafter may never need them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property

from attrs import evolve, frozen

from specdec.features import Features


class Source(ABC):
    """Where features of a batch can be read while it is decoded."""

    @abstractmethod
    def read(self, starts: Sequence[int], lengths: Sequence[int]) -> Features:
        """Gather the features of `lengths` tokens of each sequence, from the positions `starts` on."""

    def joined(self, later: "Source") -> "Source | None":
        """Give a source of what both have; None if there is none."""
        return None


@frozen(eq=False, slots=False)
class FeaturesAt:
    """Features of `lengths` tokens of each sequence, from the positions `starts` on."""

    source: Features | Source
    starts: list[int]
    lengths: list[int]

    @cached_property
    def features(self) -> Features:
        """The features themselves."""
        source = self.source
        return source if isinstance(source, Features) else source.read(self.starts, self.lengths)

    @property
    def count(self) -> int:
        """Of how many tokens of all sequences they are."""
        return sum(self.lengths)

    def before(self, ends: Sequence[int]) -> "FeaturesAt":
        """Leave out those of each sequence's tokens from the position `ends` on."""
        rows = zip(self.starts, self.lengths, ends, strict=True)
        lengths = [max(min(length, end - start), 0) for start, length, end in rows]
        return self if lengths == self.lengths else evolve(self, lengths=lengths)

    def joined(self, later: "FeaturesAt") -> "FeaturesAt | None":
        """Put those of the tokens right after them behind them; None if they cannot be read at once."""
        if isinstance(self.source, Features) or isinstance(later.source, Features):
            return None
        source, starts, lengths = self.source.joined(later.source), list[int](), list[int]()
        for start, length, after, more in zip(self.starts, self.lengths, later.starts, later.lengths, strict=True):
            if length and more and after != start + length:
                return None
            starts.append(start if length else after)
            lengths.append(length + more)
        return None if source is None else FeaturesAt(source, starts, lengths)


class Unread:
    """Features that a drafter has been told of and has not read, in their order."""

    def __init__(self) -> None:
        self._parts: list[FeaturesAt] = []

    @property
    def count(self) -> int:
        """Of how many tokens of all sequences they are."""
        return sum(part.count for part in self._parts)

    def add(self, parts: Iterable[FeaturesAt]) -> None:
        """Add what is new."""
        for part in parts:
            joined = self._parts[-1].joined(part) if self._parts else None
            self._parts[-1:] = [*self._parts[-1:], part] if joined is None else [joined]

    def cut(self, ends: Sequence[int]) -> None:
        """Forget those of each sequence's tokens from the position `ends` on."""
        parts = (part.before(ends) for part in self._parts)
        self._parts = [part for part in parts if part.count]

    def take(self) -> list[FeaturesAt]:
        """Give all, to be read now."""
        parts, self._parts = self._parts, []
        return parts
