"""What a client must not lose, in a file that is only ever appended to: it survives an end at any byte."""

import os
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
"""Bytes before each record: its size, and a checksum of it."""


class Entry(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """A record; all but `Met` are of one sequence of a batch."""


class Met(Entry, frozen=True, tag=1):
    """What the server is."""

    welcome: Welcome


class Begun(Entry, frozen=True, tag=2):
    """A sequence with its prompt, and how it is sampled."""

    number: int
    opening: Open


class Decided(Entry, frozen=True, tag=3):
    """Tokens that the target decided, in place of what was said without it."""

    number: int
    tokens: bytes


class Learnt(Entry, frozen=True, tag=4):
    """What the drafter learnt of the target, of tokens from `start` on."""

    number: int
    start: int
    features: dict[str, Array]


class Said(Entry, frozen=True, tag=5):
    """Tokens that the drafter said alone."""

    number: int
    tokens: bytes


class Kept(Entry, frozen=True, tag=6):
    """What the drafter said alone counts as decided."""

    number: int


@define(eq=False)
class Chapter:
    """What a journal has of one sequence."""

    opening: Open
    decided: list[int] = field(factory=list)
    said: list[int] = field(factory=list)
    parts: list[tuple[int, dict[str, Array]]] = field(factory=list)


class Journal:
    """Writes what happens to the sequences of a batch, and has what happened before it was opened."""

    def __init__(self, path: str | PathLike[str], *, sync: bool = False) -> None:
        """Read what is there and cut off a record that was not written to its end.

        With `sync` each record is on the disk before anything else happens, so that it outlives the machine too.

        Raises:
            OptionError: the file is no journal, cannot be written, or another process writes it.
        """
        self.welcome: Welcome | None = None
        self.chapters: dict[int, Chapter] = {}
        try:
            self._sync, self._file = sync, os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise OptionError(f"expected a journal that can be written, got {os.fspath(path)}: {error}") from error
        self._lock(path)
        with open(self._file, "rb", closefd=False) as file:
            data = file.read()
        if data[: len(MAGIC)] != MAGIC[: len(data)]:
            os.close(self._file)
            raise OptionError(f"expected a journal or a new file, got {os.fspath(path)}")
        end = self._replay(data) if len(data) >= len(MAGIC) else 0
        os.ftruncate(self._file, end)
        os.lseek(self._file, end, os.SEEK_SET)
        if end == 0:
            self._append(MAGIC)

    def meet(self, welcome: Welcome) -> None:
        """Note what the server is."""
        if welcome != self.welcome:
            self._write(Met(welcome))

    def begin(self, number: int, opening: Open) -> Chapter | None:
        """Begin a sequence, or give what there is of it.

        Raises:
            OptionError: the journal is of another prompt, sampling or drafter.
        """
        chapter = self.chapters.get(number)
        if chapter is None:
            self._write(Begun(number, opening))
            return None
        same = replace(chapter.opening, sid=opening.sid, codec=opening.codec, window=opening.window)
        if _encode(same) != _encode(opening):  # what was read has lists where tuples were
            raise OptionError(
                f"expected the prompt, sampling and drafter that the journal's sequence {number} began with, got others"
            )
        return chapter

    def note(self, number: int, tokens: Sequence[int], parts: Sequence[Part]) -> None:
        """Note decided tokens, and features that came."""
        if tokens:
            self._write(Decided(number, pack_tokens(list(tokens))))
        for part in parts:  # of these tokens, among others
            self._write(Learnt(number, part.start, part.arrays))

    def say(self, number: int, tokens: Sequence[int]) -> None:
        """Note tokens that were said without the target."""
        self._write(Said(number, pack_tokens(list(tokens))))

    def keep(self, number: int) -> None:
        """Note that what was said without the target stays."""
        self._write(Kept(number))

    def close(self) -> None:
        """Close the file."""
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

    def _write(self, entry: Entry) -> None:
        self._take(entry)
        data = _encode(entry)
        self._append(len(data).to_bytes(4, "little") + crc32(data).to_bytes(4, "little") + data)

    def _append(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]
        if self._sync:
            os.fsync(self._file)

    def _replay(self, data: bytes) -> int:
        """Take in all records that are whole; say where the last of them ends."""
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
                agreed = chapter.said[: len(tokens)] == tokens  # else all that follows is taken back
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
