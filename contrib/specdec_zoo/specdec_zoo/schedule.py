"""Warm-up, stable, decay: over steps, or over wall time so that the decay lands at the end of a budget."""

import json
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

DECAY_SHARE = 0.3


def rate(step: int, progress: float, warmup: int) -> float:
    """The factor on the peak learning rate at `progress` (0 to 1) of the run."""
    if step < warmup:
        return (step + 1) / warmup
    return min(1.0, max(0.0, (1.0 - progress) / DECAY_SHARE))


class Clock(TrainerCallback):
    """Wall time spent on a run, over all its resumptions; stops the run when its budget is spent."""

    def __init__(self, folder: Path, minutes: float | None) -> None:
        self.file = folder / "clock.json"
        self.budget = None if minutes is None else 60 * minutes
        self.before = json.loads(self.file.read_text())["seconds"] if self.file.exists() else 0.0
        self.start = time.monotonic()

    @property
    def seconds(self) -> float:
        return float(self.before + time.monotonic() - self.start)

    def progress(self, step: int, steps: int) -> float:
        return step / steps if self.budget is None else self.seconds / self.budget

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.start = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self.budget is not None and self.seconds >= self.budget:
            control.should_training_stop = True
            control.should_save = True

    def on_save(self, *_: Any, **__: Any) -> None:
        self.file.write_text(json.dumps({"seconds": self.seconds}))
