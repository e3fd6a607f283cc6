"""The model card of a head."""

import json
from pathlib import Path
from typing import Any

from specdec.training import MATRICES, STATE, last_whole

from specdec_zoo import card
from specdec_zoo.head import BATCH, LENGTH, Head


def write(name: str, head: Head, parameters: int, run: Path) -> str:
    """The text of README.md; `run` is the folder that the head was trained in."""
    last = _last_log(run)
    steps = last["step"]
    options = ", ".join(f"`{key}` {value}" for key, value in head.options.items()) or "none"
    other = ("epoch", "grad_norm", "learning_rate", "step")
    losses = "\n".join(f"| {key} | {float(value):.4g} |" for key, value in last.items() if key not in other)
    return f"""---
license: apache-2.0
library_name: specdec
---

# specdec-zoo {name}

A head of specdec's method `{head.method}` for the zoo's target: {parameters:,} parameters, stored in float16.
Options other than the method's own: {options}.

## Training

{steps:,} steps of {BATCH} texts of {LENGTH} tokens of its corpus, {steps * BATCH * LENGTH:,} in all;
each text once, the same for all heads. Matrices are trained with Muon, learning rate up to
{MATRICES:g} in 50 steps and then down to a twentieth of it in a straight line, all else with AdamW, likewise
up to {head.rate:g}; gradients are clipped at a norm of 1. Hardware: {card.hardware()}.
Made by `python -m specdec_zoo.recipe --stage head --head {name}`.

Losses, as means over the last steps:

| | |
|---|---|
{losses}
"""


def _last_log(run: Path) -> dict[str, Any]:
    checkpoint = last_whole(str(run))
    if checkpoint is None:
        raise FileNotFoundError(f"no checkpoint in {run}; train the head first")
    history = json.loads((Path(checkpoint) / STATE).read_text(encoding="utf-8"))["log_history"]
    return dict(next(entry for entry in reversed(history) if "loss" in entry))
