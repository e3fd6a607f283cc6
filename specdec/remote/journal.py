"""An append-only file of what a client must not lose; it may be cut off at any byte."""

import os
import stat
from collections.abc import Sequence
from os import PathLike
from zlib import crc32

import msgspec
from attrs import define, field
from msgspec.structs import replace

from specdec.errors import OptionError
from specdec.split.messages import Array, Open, Welcome, pack_tokens, unpack_tokens
from specdec.split.text import Part

MAGIC = b"specdec journal 1\n"
HEAD = 8
"""Bytes before each record: its size and its CRC-32, 4 bytes each, little-endian."""
MODE = 0o600
"""Only its owner may read and write the file."""


class Entry(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """A record; all but `Met` belong to one sequence of a batch, by its `number`."""


class Met(Entry, frozen=True, tag=1):
    """The server's welcome, which describes its target."""

    welcome: Welcome


class Begun(Entry, frozen=True, tag=2):
    """A new sequence: its prompt, sampling options and drafter's needs."""

    number: int
    opening: Open


class Decided(Entry, frozen=True, tag=3):
    """Tokens that the target decided, in place of any unverified ones."""

    number: int
    tokens: bytes


class Learnt(Entry, frozen=True, tag=4):
    """Features from token `start` on."""

    number: int
    start: int
    features: dict[str, Array]


class Said(Entry, frozen=True, tag=5):
    """Tokens that the drafter added alone, unverified."""

    number: int
    tokens: bytes


class Kept(Entry, frozen=True, tag=6):
    """All unverified tokens count as decided from now on."""

    number: int


@define(eq=False)
class Chapter:
    """The state of one sequence in a journal; `said` are its unverified tokens."""

    opening: Open
    decided: list[int] = field(factory=list)
    said: list[int] = field(factory=list)
    parts: list[tuple[int, dict[str, Array]]] = field(factory=list)


class Journal:
    """Records the sequences of one batch; `chapters` has their state, also from before the file was opened.

    Raises:
        OptionError: something is to be recorded, and the journal is closed.
        OSError: it cannot be written, as on a full disk; then it is not recorded at all.
    """

    def __init__(self, path: str | PathLike[str], *, sync: bool = False) -> None:
        """Read the file if it exists, and truncate a record that was not written to its end.

        With `sync` each record is flushed to the disk at once, so that it survives a crash of the machine too.

        Raises:
            OptionError: the file is not a journal, cannot be written or hidden from others, or another process writes
                it.
        """
        self.welcome: Welcome | None = None
        self.chapters: dict[int, Chapter] = {}
        self._closed = False
        try:
            self._sync, self._file = sync, os.open(path, os.O_RDWR | os.O_CREAT, MODE)
        except OSError as error:
            raise OptionError(f"expected a journal that can be written, got {os.fspath(path)}: {error}") from error
        self._lock(path)
        with open(self._file, "rb", closefd=False) as file:
            data = file.read()
        if data[: len(MAGIC)] != MAGIC[: len(data)]:
            os.close(self._file)
            raise OptionError(f"expected a journal or a new file, got {os.fspath(path)}")
        self._hide(path)
        end = self._replay(data) if len(data) >= len(MAGIC) else 0
        self._truncate(end)
        if end == 0:
            self._append(MAGIC)

    def meet(self, welcome: Welcome) -> None:
        """Record the server's welcome."""
        if welcome != self.welcome:
            self._write(Met(welcome))

    def begin(self, number: int, opening: Open) -> Chapter | None:
        """Begin a sequence, or return the one that the journal has; None if it is new.

        Raises:
            OptionError: the journal's has another prompt, sampling or drafter.
        """
        chapter = self.chapters.get(number)
        if chapter is None:
            self._write(Begun(number, opening))
            return None
        same = replace(chapter.opening, sid=opening.sid, codec=opening.codec, window=opening.window)
        if _encode(same) != _encode(opening):  # a decoded one has lists in place of tuples
            raise OptionError(
                f"expected the prompt, sampling and drafter that the journal's sequence {number} began with, got others"
            )
        return chapter

    def note(self, number: int, tokens: Sequence[int], parts: Sequence[Part]) -> None:
        """Record decided tokens and received features."""
        if tokens:
            self._write(Decided(number, pack_tokens(list(tokens))))
        for part in parts:  # after the tokens that they may belong to
            self._write(Learnt(number, part.start, part.arrays))

    def say(self, number: int, tokens: Sequence[int]) -> None:
        """Record unverified tokens."""
        self._write(Said(number, pack_tokens(list(tokens))))

    def keep(self, number: int) -> None:
        """Record that the unverified tokens stay."""
        self._write(Kept(number))

    def close(self) -> None:
        """Close the file, unless it is closed; nothing can be recorded any more."""
        if not self._closed:
            self._closed = True
            os.close(self._file)

    def _lock(self, path: str | PathLike[str]) -> None:
        """Keep other processes out until this one ends: what two of them write is of neither's text."""
        try:
            os.lockf(self._file, os.F_TLOCK, 0)
        except OSError as error:
            os.close(self._file)
            raise OptionError(
                f"expected a journal that no other process writes, got {os.fspath(path)}: {error}"
            ) from error

    def _hide(self, path: str | PathLike[str]) -> None:
        """Let only its owner read the file, which may be older than the journal."""
        mode = os.fstat(self._file).st_mode
        try:
            if stat.S_ISREG(mode) and stat.S_IMODE(mode) != MODE:
                os.fchmod(self._file, MODE)
        except OSError as error:
            os.close(self._file)
            raise OptionError(f"expected a journal of one's own, got {os.fspath(path)}: {error}") from error

    def _write(self, entry: Entry) -> None:
        if self._closed:  # by now its descriptor may be another file's
            raise OptionError(f"expected a journal that is open to record {type(entry).__name__}, got a closed one")
        data, end = _encode(entry), os.lseek(self._file, 0, os.SEEK_CUR)
        try:
            self._append(len(data).to_bytes(4, "little") + crc32(data).to_bytes(4, "little") + data)
            self._take(entry)
        except BaseException:  # by Ctrl-C too: what followed half a record would not be read
            self._truncate(end)
            raise

    def _append(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]
        if self._sync:
            os.fsync(self._file)

    def _truncate(self, end: int) -> None:
        os.ftruncate(self._file, end)
        os.lseek(self._file, end, os.SEEK_SET)

    def _replay(self, data: bytes) -> int:
        """Apply all complete records; return the offset at which the last of them ends."""
        end = len(MAGIC)
        while len(data) >= end + HEAD:
            size, check = (int.from_bytes(data[place : place + 4], "little") for place in (end, end + 4))
            record = data[end + HEAD : end + HEAD + size]
            if len(record) < size or crc32(record) != check:
                break
            self._take(_decode(record))
            end += HEAD + size
        return end

    def _take(self, entry: Entry) -> None:
        match entry:
            case Met():
                self.welcome = entry.welcome
            case Begun():
                self.chapters[entry.number] = Chapter(entry.opening)
            case Decided():
                chapter, tokens = self.chapters[entry.number], unpack_tokens(entry.tokens)
                chapter.decided += tokens
                agreed = chapter.said[: len(tokens)] == tokens  # else the rest is retracted
                chapter.said = chapter.said[len(tokens) :] if agreed else []
            case Learnt():
                self.chapters[entry.number].parts.append((entry.start, entry.features))
            case Said():
                self.chapters[entry.number].said += unpack_tokens(entry.tokens)
            case Kept():
                chapter = self.chapters[entry.number]
                chapter.decided += chapter.said
                chapter.said.clear()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Met | Begun | Decided | Learnt | Said | Kept).decode
