"""What commands write: never over an input, nor over anything that they did not write themselves."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from attrs import evolve, field, frozen

from specdec.errors import OptionError

RECORD = "specdec.json"
"""In a folder, the record of what it was made from; of a file it stands beside it, after the file's own name."""
PARTIAL = ".partial"
"""Ends the name of a file that is not finished."""
SAVING = ".saving"
"""Folder of files that are being written, in the folder that they belong to."""

MODEL = ("config.json", "model.safetensors")
"""Files that may be a model's, which are looked at first of all."""


@frozen
class Record:
    """What an output was made from: the command, and the `settings` that decide what is written.

    The command is one of `specdec`, or written out, as `python -m ...`. `files` has the hashes of all that was ever
    written under a name.
    """

    command: str
    settings: Mapping[str, Any] = field(factory=dict)
    finished: bool = False
    files: Mapping[str, tuple[str, ...]] = field(factory=dict)

    @classmethod
    def read(cls, file: Path) -> "Record | None":
        """Read a record, None where there is no file, or one of another kind."""
        try:
            value = json.loads(file.read_text("utf-8"))
            return cls(value["command"], value["settings"], value["finished"], value["files"])
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def write(self, file: Path) -> None:
        """Write it whole or not at all."""
        value = {"command": self.command, "settings": self.settings, "finished": self.finished, "files": self.files}
        new = file.with_name(f".{file.name}.new")
        new.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        os.replace(new, file)

    def check_unchanged(self, file: Path, name: str) -> None:
        """Check that a file, if there is one, is as it was written.

        Raises:
            OptionError: it is another.
        """
        if os.path.lexists(file) and not (file.is_file() and file_hash(file) in self.files.get(name, ())):
            raise OptionError(
                f"expected {file} to be as `{_written_out(self.command)}` wrote it, got another file; "
                f"move it, or choose another output"
            )


@frozen
class Output:
    """A file or a folder that a command writes."""

    name: str
    path: Path
    command: str
    folder: bool

    @classmethod
    def of(cls, name: str | Path, command: str, inputs: Iterable[str | Path] = (), *, folder: bool = False) -> "Output":
        """Check that a command may write to a place, before any work.

        Raises:
            OptionError: it is an input, in an input's folder or around an input; or something is there already that
                the command did not write; or nothing can be written there.
        """
        output = cls(str(name), Path(name).resolve(), command, folder)
        if not str(name).strip():
            raise OptionError(f"expected a {output.kind} to write to, got {str(name)!r}")
        output._check_place()
        for given in map(Path, inputs):
            if any(_overlap(mine, given) for mine in output._mine):
                raise OptionError(f"expected an output apart from the inputs, got {output.name}, where {given} is read")
        output._check_own()
        return output

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return "folder" if self.folder else "file"

    @property
    def record(self) -> Path:
        """Where the record is."""
        return self.path / RECORD if self.folder else self.path.with_name(f"{self.path.name}.{RECORD}")

    @property
    def partial(self) -> Path:
        """Where a file is written that takes long, so that the next run can continue it."""
        return self.path.with_name(self.path.name + PARTIAL)

    def begin(self, settings: Mapping[str, Any], *, restart: bool = False) -> bool:
        """Record what is to be written, and tell whether an earlier run has finished just that.

        Raises:
            OptionError: what is there was made with other settings, and this is no `restart`.
        """
        settings = json.loads(json.dumps(settings, default=str))
        before = Record.read(self.record)
        same = before is not None and before.settings == settings and not restart
        if before is not None and not same and not restart and self._begun:
            self._refuse(before.settings, settings)
        before = before or Record(self.command)
        if not same:
            self.partial.unlink(missing_ok=True)
            self.record.parent.mkdir(parents=True, exist_ok=True)
            evolve(before, settings=settings, finished=False).write(self.record)
        return same and before.finished and self.path.exists() and not self.partial.exists()

    def install(self, new: Path) -> None:
        """Give a file that is finished its name."""
        _install(new, self.path, self.record)

    def write(self, data: bytes) -> None:
        """Write a file whole or not at all."""
        self.partial.write_bytes(data)
        self.install(self.partial)

    @property
    def _mine(self) -> tuple[Path, ...]:
        return (self.path,) if self.folder else (self.path, self.partial, self.record)

    @property
    def _begun(self) -> bool:
        if not self.folder:
            return self.path.exists() or self.partial.exists()
        names = [entry.name for entry in self.path.iterdir()] if self.path.exists() else []
        return any(name != RECORD and not name.startswith(".") for name in names)

    def _refuse(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        name = min(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        old, new = before.get(name), now.get(name)
        raise OptionError(f"expected {name} {old!r} as in the run in {self.name}, got {new!r}; --restart begins again")

    def _check_place(self) -> None:
        if self.path.exists() and not (self.path.is_dir() if self.folder else self.path.is_file()):
            what = "file" if self.path.is_file() else "folder" if self.path.is_dir() else "device"
            raise OptionError(f"expected a {self.kind} to write to, got the {what} {self.name}")
        parent = self.path.parent
        while self.folder and not parent.exists():
            parent = parent.parent
        if not parent.is_dir():
            raise OptionError(f"expected a {self.kind} in a folder that exists, got {self.name!r}")
        try:
            with TemporaryFile(dir=self.path if self.path.is_dir() else parent):
                pass
        except OSError as error:
            raise OptionError(f"expected a {self.kind} that can be written to, got {self.name!r}: {error}") from error

    def _check_own(self) -> None:
        """Refuse what another command made, or none, or what was changed since."""
        record = Record.read(self.record)
        if record is None or record.command != self.command:
            if self._begun or self.record.exists():
                raise OptionError(
                    f"expected a new {self.kind}, or one that `{_written_out(self.command)}` wrote, got {self.name}, "
                    f"which has no record of that; choose another name"
                )
            return
        for name in {*record.files, *MODEL} if self.folder else {self.path.name}:
            record.check_unchanged(self.record.parent / name, name)


@contextmanager
def saving(folder: str | Path) -> Iterator[Path]:
    """Give a folder to write files to, which are moved into another when they are whole.

    Raises:
        OptionError: the other folder has a record, and a file that it does not list would be replaced.
    """
    folder = Path(folder).resolve()
    new = folder / SAVING
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    yield new
    for file in sorted(path for path in new.rglob("*") if path.is_file()):
        _install(file, folder / file.relative_to(new), folder / RECORD)
    shutil.rmtree(new)


def file_hash(file: Path) -> str:
    """Hash the content of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def input_hash(path: str | Path | None) -> str | None:
    """Hash a file, or the files of a folder by their names; of what is not on this machine there is no hash."""
    if path is None or not Path(path).exists():
        return None
    if Path(path).is_file():
        return file_hash(Path(path))
    files = sorted(file for file in Path(path).iterdir() if file.is_file())
    return hashlib.blake2b(
        json.dumps([(file.name, file_hash(file)) for file in files]).encode(), digest_size=16
    ).hexdigest()


def _written_out(command: str) -> str:
    return command if " " in command else f"specdec {command}"


def _install(new: Path, place: Path, record_file: Path) -> None:
    """Note a file's hash before it is renamed, so that it is known whenever the run is killed."""
    record = Record.read(record_file)
    if record is not None:
        name = place.relative_to(record_file.parent).as_posix()
        record.check_unchanged(place, name)
        hashes = (*record.files.get(name, ()), file_hash(new))
        evolve(record, finished=True, files={**record.files, name: hashes}).write(record_file)
    place.parent.mkdir(parents=True, exist_ok=True)
    os.replace(new, place)


def _overlap(output: Path, given: Path) -> bool:
    """Whether a path is an output, or one is in the other; links count as what they lead to, and where they are."""
    for place in (given.resolve(), given.parent.resolve() / given.name):
        if place == output or output in place.parents or (not place.is_file() and place in output.parents):
            return True
    return output.exists() and given.exists() and output.samefile(given)
