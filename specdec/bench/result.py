"""A whole benchmark, and what it was measured on."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import torch
from attrs import asdict, frozen
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from specdec.bench.compare import Trial
from specdec.bench.entry import Clock
from specdec.bench.lead import Lead, leads
from specdec.bench.rows import ALL, Row
from specdec.bench.run import Plan, Run
from specdec.doctor.devices import processor_name
from specdec.target.half import is_packed

CLOCKS = {thread_time: "processor time of the thread", perf_counter: "wall"}


@frozen(eq=False)
class Result:
    """What was measured, of what, on what. `policy` is that of all drafters, or `tuned`: then each row has its own."""

    target: str
    policy: str
    rule: str
    machine: dict[str, Any]
    plan: Plan
    rows: tuple[Row, ...]
    trials: tuple[Trial, ...] = ()
    interrupted: bool = False
    """Whether it ended before the plan was done."""
    tokenizer: PreTrainedTokenizerBase | None = None
    """Makes text of the answers; not written."""

    @property
    def differences(self) -> list[Row]:
        """The rows whose text is not that of plain decoding, though it must be; each once."""
        return [row for row in self.rows if row.equal is False and row.prompt_set != ALL]

    def part(self, temperature: float) -> list[Row]:
        """The rows of one temperature, of all sets together where there are several."""
        rows = [row for row in self.rows if row.temperature == temperature]
        return [row for row in rows if row.prompt_set == ALL] or rows

    @property
    def leads(self) -> list[Lead]:
        """By how much the first drafter, and others of its kind, lead those of other kinds, at each temperature."""
        return [lead for temperature in self.plan.temperatures for lead in leads(self.part(temperature))]

    def as_json(self) -> dict[str, Any]:
        """Lay out what a machine reads; the fields of a row's figures are its own."""
        own = asdict(self, filter=lambda attribute, _: attribute.name not in ("rows", "tokenizer"))
        lists = {"rows": [_row(row) for row in self.rows], "leads": [asdict(lead) for lead in self.leads]}
        return own | lists

    def write(self, file: Path) -> None:
        """Write one JSON object."""
        file.write_text(json.dumps(self.as_json()) + "\n", encoding="utf-8")


def _row(row: Row) -> dict[str, Any]:
    own = asdict(row, filter=lambda attribute, _: attribute.name not in ("figures", "runs"))
    return own | asdict(row.figures) | {"runs": [_run(run) for run in row.runs]}


def _run(run: Run) -> dict[str, Any]:
    return {
        "prompt_set": run.task.prompt_set,
        "question_id": run.task.question.question_id,
        "repeat": run.repeat,
        "seconds": run.trace.seconds,
        "tokens": len(run.trace.tokens),
        "steps": len(run.trace.lengths),
    }


def machine(model: PreTrainedModel, clock: Clock = perf_counter) -> dict[str, Any]:
    """Describe hardware, software, precision, date, and which clock was looked at.

    `weights` is `half` where a model of float32 reads weights in half precision.
    """
    device = model.device
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "clock": CLOCKS.get(clock, "another"),
        "dtype": str(model.dtype).removeprefix("torch."),
        "weights": "half" if is_packed(model) else "full",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "specdec": version("specdec-kit"),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
