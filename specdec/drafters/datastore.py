"""Texts in which to look up what followed some tokens."""

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from zipfile import BadZipFile

import numpy as np
from attrs import field, frozen
from jaxtyping import Float, Int

from specdec.errors import DataError, OptionError

BETWEEN = -1
"""Stands between two texts, and is no token: no match goes across."""
MOST = 4096
"""Followers of a match that are counted; of more, so many at even distances."""

Tokens = Int[np.ndarray, " _"]


@frozen(eq=False)
class Datastore:
    """Every token of some texts, sorted by the tokens before it, the nearest first.

    The places where some tokens occur are then next to each other, and found by bisection (a suffix array, as in REST:
    He et al., arXiv 2311.08252, of prefixes and as deep as the longest match).
    """

    tokens: Int[np.ndarray, " N"] = field(repr=False)
    """The tokens of all texts, `BETWEEN` after each."""
    longest: int
    vocabulary: Int[np.ndarray, " W"] = field(init=False, repr=False)
    """The tokens that occur, in ascending order."""
    shares: Float[np.ndarray, " W"] = field(init=False, repr=False)
    """The share of each among all."""
    _before: Int[np.ndarray, "L M"] = field(init=False, repr=False)
    """Row k: the token k + 1 places before each, sorted by all rows, the first first."""
    _followers: Int[np.ndarray, " M"] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.longest < 1:
            raise OptionError(f"expected matches of at least 1 token, got longest={self.longest}")
        vocabulary, counts = np.unique(self.tokens[self.tokens != BETWEEN], return_counts=True)
        if not len(vocabulary):
            raise DataError("expected a datastore with tokens, got none")
        padded = np.concatenate([np.full(self.longest, BETWEEN, np.int32), self.tokens])
        before = np.stack([padded[self.longest - k - 1 : -k - 1] for k in range(self.longest)])
        order = np.lexsort(before[::-1])
        order = order[self.tokens[order] != BETWEEN]
        for name, value in (
            ("vocabulary", vocabulary),
            ("shares", (counts / counts.sum()).astype(np.float32)),
            ("_before", before[:, order]),
            ("_followers", self.tokens[order]),
        ):
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, texts: Iterable[Sequence[int]], longest: int = 4) -> "Datastore":
        """Sort the tokens of texts, for matches of up to `longest` tokens.

        Raises:
            DataError: there are no tokens.
            OptionError: `longest` is below 1.
        """
        return cls(np.array([token for text in texts for token in (*text, BETWEEN)], np.int32), longest)

    @classmethod
    def load(cls, path: str | PathLike[str], longest: int = 4) -> "Datastore":
        """Read a file that `save` wrote.

        Raises:
            DataError: it is not there, or no such file.
            OptionError: `longest` is below 1.
        """
        try:
            with open(path, "rb") as opened, np.load(opened) as file:
                tokens, lengths = file["tokens"].astype(np.int32), file["lengths"]
            tokens = np.insert(tokens, np.cumsum(lengths), BETWEEN)
        except (OSError, ValueError, IndexError, KeyError, EOFError, BadZipFile, TypeError, AttributeError) as error:
            made = "which `python -m specdec.training.datastore` makes"
            raise DataError(f"expected a datastore in {str(path)!r}, {made}: {error}") from error
        return cls(tokens, longest)

    def with_tokens(self, tokens: Tokens) -> tuple[Int[np.ndarray, " V"], Float[np.ndarray, " V"]]:
        """Give the vocabulary and its shares with these tokens too; those that do not occur have none."""
        tokens = np.unique(tokens).astype(np.int32)
        places = self.vocabulary.searchsorted(tokens)
        new = self.vocabulary[np.minimum(places, len(self.vocabulary) - 1)] != tokens
        return np.insert(self.vocabulary, places[new], tokens[new]), np.insert(self.shares, places[new], 0.0)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the texts, compressed; what is sorted is sorted again by `load`."""
        ends = np.flatnonzero(self.tokens == BETWEEN)
        lengths = np.diff(ends, prepend=-1) - 1
        small = np.uint16 if self.vocabulary[-1] < 2**16 else np.int32
        with open(path, "wb") as file:
            np.savez_compressed(file, tokens=self.tokens[self.tokens != BETWEEN].astype(small), lengths=lengths)

    def followers(self, suffix: Sequence[int]) -> Iterator[Tokens]:
        """Give what followed the last token, then the last two, and so on, while there is a match."""
        low, high = 0, len(self._followers)
        for row, token in zip(
            self._before, np.array(suffix[::-1], np.int32), strict=False
        ):  # as int64, rows are copied
            part = row[low:high]
            low, high = low + int(part.searchsorted(token)), low + int(part.searchsorted(token, "right"))
            if low == high:
                return
            yield self._followers[low : high : -(-(high - low) // MOST)]
