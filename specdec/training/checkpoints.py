"""What a run leaves on its way, so that it can be continued."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from specdec.errors import OptionError

STATE = "trainer_state.json"
"""The trainer writes it last."""
WRITTEN = (".bin", ".json", ".pt", ".pth", ".safetensors")
"""Endings of the files that it writes."""


def last_whole(output: str) -> str | None:
    """Find the newest checkpoint that was written to its end, and not cut short by a kill."""
    whole = [folder for folder in _checkpoints(output) if _is_json(folder / STATE)]
    return str(max(whole, key=step)) if whole else None


def step(folder: str | Path) -> int:
    """Give the step after which a checkpoint was written."""
    return int(Path(folder).name.rpartition("-")[2])


def remove(output: str) -> None:
    """Remove all checkpoints.

    Raises:
        OptionError: there is something else in one; then all are left.
    """
    folders = list(_checkpoints(output))
    for file in (file for folder in folders for file in folder.rglob("*")):
        if file.is_file() and file.suffix not in WRITTEN:
            raise OptionError(f"expected checkpoints of what training wrote alone, got {file}; move it")
    for folder in folders:
        if folder.is_symlink():
            folder.unlink()
        else:
            shutil.rmtree(folder)


def _checkpoints(output: str) -> Iterator[Path]:
    for folder in Path(output).glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        if folder.name.rpartition("-")[2].isdecimal():
            yield folder


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return True
