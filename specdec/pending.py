"""Features that are gathered when they are first read, for a drafter may never need them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

from attrs import evolve, field, frozen

from specdec.features import Features


class FeatureSource(ABC):
    """Where features of a batch can be read while it is decoded."""

    @abstractmethod
    def read(self, starts: Sequence[int], lengths: Sequence[int]) -> Features:
        """Gather the features of `lengths` tokens of each sequence, from the positions `starts` on.

        They are `[sequences, tokens, ...]`, padded to the longest.
        """

    def merged(self, later: "FeatureSource") -> "FeatureSource | None":
        """Give one source of what both have; None if there is none."""
        return None


@frozen(eq=False, slots=False)
class FeaturesAt:
    """Features of `lengths` tokens of each sequence, from the positions `starts` on.

    In place of the features themselves there may be a source, from which they are gathered when they are first read.
    """

    _features: Features | FeatureSource = field(repr=False)
    starts: list[int]
    lengths: list[int]

    @cached_property
    def features(self) -> Features:
        """The features themselves."""
        given = self._features
        return given if isinstance(given, Features) else given.read(self.starts, self.lengths)

    @property
    def gathered(self) -> bool:
        """Whether they are here already, so that nothing is saved by not reading them."""
        return isinstance(self._features, Features)

    @property
    def total(self) -> int:
        """The number of tokens, of all sequences together."""
        return sum(self.lengths)

    def before(self, ends: Sequence[int]) -> "FeaturesAt":
        """Leave out tokens from the positions `ends` on."""
        rows = zip(self.starts, self._ends, ends, strict=True)
        lengths = [max(min(own, end) - start, 0) for start, own, end in rows]
        return self if lengths == self.lengths else evolve(self, lengths=lengths)

    def without(self, done: Sequence[bool]) -> "FeaturesAt":
        """Leave out the sequences that are done."""
        return self.before([0 if one else end for one, end in zip(done, self._ends, strict=True)])

    def then(self, later: "FeaturesAt") -> "FeaturesAt | None":
        """Append those of the tokens right after these; None if they cannot be read together."""
        if isinstance(self._features, Features) or isinstance(later._features, Features):
            return None
        rows = list(zip(self.starts, self.lengths, later.starts, later.lengths, strict=True))
        source = self._features.merged(later._features)
        if source is None or any(length and more and start + length != after for start, length, after, more in rows):
            return None
        starts = [start if length else after for start, length, after, _ in rows]
        return FeaturesAt(source, starts, [length + more for _, length, _, more in rows])

    @property
    def _ends(self) -> list[int]:
        return [start + length for start, length in zip(self.starts, self.lengths, strict=True)]


class PendingFeatures:
    """Features that a drafter has been told of and has not read yet, in their order."""

    def __init__(self, parts: Sequence[FeaturesAt] = ()) -> None:
        self._parts: list[FeaturesAt] = []
        for part in parts:
            self.add(part)

    @property
    def total(self) -> int:
        """The number of tokens, of all sequences together."""
        return sum(part.total for part in self._parts)

    def add(self, part: FeaturesAt) -> None:
        """Add what is new."""
        merged = self._parts[-1].then(part) if self._parts else None
        if merged is not None:
            self._parts[-1] = merged
        elif part.total:
            self._parts.append(part)

    def cut(self, ends: Sequence[int]) -> None:
        """Forget tokens from the positions `ends` on."""
        self._parts = [part for part in (part.before(ends) for part in self._parts) if part.total]

    def extended(self, new: Sequence[FeaturesAt], done: Sequence[bool]) -> "PendingFeatures":
        """Add what is new, and leave out the sequences that are done."""
        return PendingFeatures([part.without(done) for part in (*self._parts, *new)])

    def take(self) -> list[FeaturesAt]:
        """Give all, to be read now."""
        parts, self._parts = self._parts, []
        return parts
