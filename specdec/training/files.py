"""Data files: JSON lines or an array of JSON, or one plain text; also compressed by gzip."""

import codecs
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from specdec.errors import DataError
from specdec.training.records import Document, Record, parse, record

JSON = (".jsonl", ".json", ".ndjson")
"""How names of files with records end, in capitals or not; any other is one plain text."""
Used = TypeVar("Used")


def read(
    paths: Sequence[str | Path], use: Callable[[Record], Sequence[Used]], *, skip_malformed: bool = False
) -> tuple[list[Used], int]:
    """Read files, those of records one by one and any other as one text, and `use` each; count what was skipped.

    Raises:
        DataError: a record cannot be used; the message names file and line. Or it is skipped and counted.
    """
    used, skipped = list[Used](), 0
    for path in map(Path, paths):
        lines = path.name.lower().removesuffix(".gz").endswith(JSON)
        data = _content(path)
        loads = _records(data, path) if lines else [(str(path), partial(_document, data))]
        for place, load in loads:
            try:
                used += use(load())
            except DataError as error:
                if not skip_malformed or not lines:
                    raise DataError(f"{place}: {error}") from error
                skipped += 1
    if not used:
        raise DataError(f"expected at least one text in {', '.join(map(str, paths)) or 'no file'}, got none")
    return used, skipped


def _content(path: Path) -> bytes:
    """Read a file as UTF-8, without a mark of byte order."""
    try:
        data = path.read_bytes()
        if path.suffix.lower() == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"expected a file to read at {path}, got: {error}") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            data = data.decode("utf-16").encode()
        except UnicodeError as error:
            raise DataError(f"expected UTF-8 or whole UTF-16 in {path}, got: {error}") from error
    return data.removeprefix(codecs.BOM_UTF8)


def _records(data: bytes, path: Path) -> Iterator[tuple[str, Callable[[], Record]]]:
    """Give what loads each record: of lines that are not blank, or of an array; with its number, from 1."""
    if data.lstrip().startswith(b"["):
        try:
            values = json.loads(data)
        except (ValueError, RecursionError):
            values = None  # so these are lines, of which the first is wrong
        if isinstance(values, list):
            yield from ((f"{path}:{number}", partial(record, value)) for number, value in enumerate(values, 1))
            return
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            yield f"{path}:{number}", partial(_line, line)


def _line(data: bytes) -> Record:
    return parse(_decoded(data))


def _document(data: bytes) -> Record:
    return Document(_decoded(data))


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"expected UTF-8, got {error.reason} at byte {error.start}") from error
