"""What a figure was measured on."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import torch
from transformers import PreTrainedModel

from specdec.bench.contender import Clock

CLOCKS = {thread_time: "processor time of the thread", perf_counter: "wall"}


def machine(model: PreTrainedModel, clock: Clock = perf_counter) -> dict[str, Any]:
    """Describe hardware, software, precision, date, and which clock was looked at."""
    device = model.device
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "clock": CLOCKS.get(clock, "another"),
        "dtype": str(model.dtype).removeprefix("torch."),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "specdec": version("specdec-kit"),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _processor() -> str:
    """Name the processor as Linux knows it, else as Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
