"""What a run leaves on its way, so that it can be continued."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from specdec.errors import OptionError

STATE = "trainer_state.json"
"""The trainer writes it last."""
SETTINGS = "training.json"


def begin(output: str, settings: Mapping[str, Any], *, resume: bool) -> None:
    """Write the settings of a run to its output.

    Raises:
        OptionError: it is to continue from a checkpoint of a run with other settings, or the output is no folder.
    """
    file = Path(output) / SETTINGS
    if Path(output).exists() and not Path(output).is_dir():
        raise OptionError(f"expected a folder to write the head to, got the file {output}")
    if resume and last_whole(output) and _is_json(file):
        before = json.loads(file.read_text("utf-8"))
        for name in sorted(before.keys() | settings.keys()):
            old, new = before.get(name), settings.get(name)
            if old != new:
                raise OptionError(
                    f"expected {name} {old!r} as in the run in {output}, got {new!r}; --restart begins again"
                )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def last_whole(output: str) -> str | None:
    """Find the newest checkpoint that was written to its end, and not cut short by a kill."""
    whole = [folder for folder in _checkpoints(output) if _is_json(folder / STATE)]
    return str(max(whole, key=step)) if whole else None


def step(folder: str | Path) -> int:
    """Give the step after which a checkpoint was written."""
    return int(Path(folder).name.rpartition("-")[2])


def remove(output: str) -> None:
    """Remove all checkpoints."""
    for folder in _checkpoints(output):
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
