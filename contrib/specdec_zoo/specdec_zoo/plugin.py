"""Makes the models known to specdec, as `zoo` and `zoo-draft`, and the sets of prompts by their names."""

from functools import partial
from pathlib import Path
from typing import Any

import pluggy

from specdec_zoo import HEADS, PROMPTS, path

hookimpl = pluggy.HookimplMarker("specdec")


@hookimpl
def register_models(register: Any) -> None:
    """Name the folders."""
    register("zoo", partial(path, "target"))
    for name in ("draft", *HEADS):
        register(f"zoo-{name}", partial(path, name))


@hookimpl
def register_prompts(register: Any) -> None:
    """Name the files."""
    for name in PROMPTS:
        register(name, partial(Path, path("target").parents[1], "prompts", f"{name}.jsonl"))
