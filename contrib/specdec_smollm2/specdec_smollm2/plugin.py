"""Makes the sets of questions known to specdec by their names, and what drafts as `smollm2-NAME`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pluggy

from specdec_smollm2 import PROMPTS, datastore, heads, prompts

hookimpl = pluggy.HookimplMarker("specdec")


@hookimpl
def register_models(register: Callable[[str, Callable[[], Path]], None]) -> None:
    """Name the datastore, and the folders of the heads that there are."""
    register("smollm2-retrieval", datastore)
    for name, folder in heads().items():
        register(f"smollm2-{name}", partial(Path, folder))


@hookimpl
def register_prompts(register: Callable[[str, Callable[[], Path]], None]) -> None:
    """Name the files."""
    for name in PROMPTS:
        register(name, partial(prompts, name))
