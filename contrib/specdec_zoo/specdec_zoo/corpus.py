"""The corpus: Python source of the standard library and of the installed packages."""

import hashlib
import random
import sysconfig
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HELD_OUT_PERCENT = 2
PACKAGE_CAP_BYTES = 2_000_000
MIN_BYTES, MAX_BYTES = 200, 150_000
MIN_COMPRESSED_SHARE = 0.15
MAX_DIGIT_SHARE = 0.2
VENDOR_FOLDERS = frozenset({"_vendor", "vendor", "_vendored", "vendored", "site-packages", "__pycache__"})


@dataclass(frozen=True)
class Document:
    """One Python file; `key` is its path relative to the standard library or to site-packages."""

    key: str
    text: str

    @property
    def held_out(self) -> bool:
        return is_held_out(self.key)


def is_held_out(key: str) -> bool:
    return stable_hash(key) % 100 < HELD_OUT_PERCENT


def default_roots() -> dict[str, Path]:
    paths = sysconfig.get_paths()
    return {"stdlib/": Path(paths["stdlib"]), "": Path(paths["purelib"])}


def load(roots: dict[str, Path] | None = None, cap: int = PACKAGE_CAP_BYTES) -> list[Document]:
    """All documents, held-out ones first, in an order that depends on their keys only."""
    documents = sorted(_unique(_readable(roots or default_roots())), key=lambda document: document.key)
    held_out = [document for document in documents if document.held_out]
    training = [document for document in documents if not document.held_out]
    return held_out + _capped(training, cap)


def looks_like_data(source: bytes) -> bool:
    """Tables, generated code and repeated patterns: nothing to learn from, and they teach looping."""
    if not MIN_BYTES <= len(source) <= MAX_BYTES:
        return True
    if len(zlib.compress(source)) / len(source) < MIN_COMPRESSED_SHARE:
        return True
    return sum(48 <= byte <= 57 for byte in source) / len(source) > MAX_DIGIT_SHARE


def _readable(roots: dict[str, Path]) -> Iterator[Document]:
    for prefix, root in roots.items():
        for path in root.rglob("*.py"):
            relative = path.relative_to(root)
            if VENDOR_FOLDERS.intersection(relative.parts):
                continue
            source = path.read_bytes()
            if looks_like_data(source):
                continue
            try:
                yield Document(prefix + relative.as_posix(), source.decode("utf-8"))
            except UnicodeDecodeError:
                continue


def _unique(documents: Iterator[Document]) -> Iterator[Document]:
    """Drops a file whose text was seen; the copy that is held out wins, so that no text is on both sides."""
    texts: set[str] = set()
    for document in sorted(documents, key=lambda document: (not document.held_out, document.key)):
        if document.text not in texts:
            texts.add(document.text)
            yield document


def _capped(documents: list[Document], cap: int) -> list[Document]:
    """At most `cap` bytes of each top-level package, chosen and ordered by chance with a fixed seed."""
    shuffled = list(documents)
    random.Random(0).shuffle(shuffled)
    sizes: Counter[str] = Counter()
    selection = []
    for document in shuffled:
        package = _package(document.key)
        if sizes[package] < cap:
            sizes[package] += len(document.text.encode())
            selection.append(document)
    return selection


def _package(key: str) -> str:
    first, _, rest = key.partition("/")
    return f"stdlib/{rest.split('/')[0]}" if first == "stdlib" else first


def stable_hash(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
