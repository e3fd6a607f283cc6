"""Texts in which to look up what followed some tokens."""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from zipfile import BadZipFile, is_zipfile

import numpy as np
from attrs import define, field
from jaxtyping import Float, Int

from specdec.drafters.matches import Tokens
from specdec.errors import DataError, OptionError

BETWEEN = -1
"""Stands between two texts, and is no token: no match goes across."""
MOST = 4096
"""At most so many followers of a match are counted; of more, every second, every third and so on."""
DEEPEST = 64
"""Longest match; each token more takes four bytes for every token of the datastore."""


@define(eq=False)
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
        if not isinstance(self.longest, int) or not 1 <= self.longest <= DEEPEST:
            raise OptionError(f"expected matches of 1 to {DEEPEST} tokens, got longest={self.longest!r}")
        self.vocabulary, counts = np.unique(self.tokens[self.tokens != BETWEEN], return_counts=True)
        if not len(self.vocabulary):
            raise DataError("expected a datastore with tokens, got none")
        self.shares = (counts / counts.sum()).astype(np.float32)
        padded = np.concatenate([np.full(self.longest, BETWEEN, np.int32), self.tokens])
        before = np.stack([padded[self.longest - k - 1 : -k - 1] for k in range(self.longest)])
        order = np.lexsort(before[::-1])
        order = order[self.tokens[order] != BETWEEN]
        self._before, self._followers = before[:, order], self.tokens[order]

    @classmethod
    def of(cls, texts: Iterable[Sequence[int]], longest: int = 4) -> "Datastore":
        """Sort the tokens of texts, for matches of up to `longest` tokens.

        Raises:
            DataError: there are no tokens, or one is below 0, or 2**31 and above.
            OptionError: `longest` is below 1 or above 64.
        """
        tokens = list[int]()
        for text in texts:
            if len(text):
                _check_range(int(min(text)), int(max(text)))
            tokens += (*text, BETWEEN)
        return cls(np.array(tokens, np.int32), longest)

    @classmethod
    def load(cls, path: str | PathLike[str], longest: int = 4) -> "Datastore":
        """Read a file that `save` wrote.

        Raises:
            DataError: it is not there, or no such file.
            OptionError: `longest` is below 1 or above 64.
        """
        try:
            tokens = _read(path)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error, RuntimeError) as error:
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
        """Write the texts, compressed, whole or not at all; what is sorted is sorted again by `load`."""
        ends = np.flatnonzero(self.tokens == BETWEEN)
        lengths = np.diff(ends, prepend=-1) - 1
        small = np.uint16 if self.vocabulary[-1] < 2**16 else np.int32
        new = Path(path).with_name(f".{Path(path).name}.new")
        try:
            with new.open("wb") as file:
                np.savez_compressed(file, tokens=self.tokens[self.tokens != BETWEEN].astype(small), lengths=lengths)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)

    def followers(self, suffix: Sequence[int]) -> Iterator[Tokens]:
        """Give what followed the last token, then the last two, and so on, while there is a match."""
        low, high = 0, len(self._followers)
        wanted = np.array(suffix[::-1], np.int32)  # of the rows' own type, or each row is converted for the search
        for row, token in zip(self._before, wanted, strict=False):
            part = row[low:high]
            low, high = low + int(part.searchsorted(token)), low + int(part.searchsorted(token, "right"))
            if low == high:
                return
            yield self._followers[low : high : -(-(high - low) // MOST)]


def _check_range(least: int, most: int) -> None:
    if not 0 <= least <= most < 2**31:
        raise DataError(f"expected tokens of at least 0 and below 2**31, got {least} to {most}")


def _read(path: str | PathLike[str]) -> Tokens:
    """Read the texts of a file, with `BETWEEN` after each."""
    with open(path, "rb") as opened:
        if not is_zipfile(opened):
            raise ValueError("it is no .npz file")
        with np.load(opened) as file:
            tokens, lengths = file["tokens"], file["lengths"]
    if not all(part.ndim == 1 and part.dtype.kind in "iu" for part in (tokens, lengths)):
        raise ValueError("expected rows of integers, tokens and lengths")
    if len(tokens):
        _check_range(int(tokens.min()), int(tokens.max()))
    lengths = lengths.astype(np.int64)
    if (lengths < 0).any() or lengths.sum() != len(tokens):
        raise ValueError(f"expected lengths of {len(tokens)} tokens in all, got {lengths.sum()}")
    return np.insert(tokens.astype(np.int32), np.cumsum(lengths), BETWEEN)
