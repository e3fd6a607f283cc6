"""The folders that models are kept in."""

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from huggingface_hub.constants import HF_HUB_CACHE

from specdec.doctor.finding import Finding, Status

LITTLE = 2e9
"""Bytes of free space below which no model of a useful size fits."""


def folders() -> Iterator[Finding]:
    """Look at whether models can be put where they are cached."""
    yield folder("models from the hub", Path(HF_HUB_CACHE), "set HF_HUB_CACHE to another folder")
    if find_spec("platformdirs") is None:
        yield Finding("converted GGUF files", Status.INFO, "not in use; pip install 'specdec-kit[gguf]'")
        return
    from platformdirs import user_cache_path

    yield folder("converted GGUF files", user_cache_path("specdec") / "gguf", "set XDG_CACHE_HOME to another folder")


def folder(name: str, path: Path, remedy: str) -> Finding:
    """Look at one, which need not be there yet."""
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        return Finding(name, Status.WARNING, f"expected a folder that can be written to, got {path}; {remedy}")
    free = shutil.disk_usage(there).free
    figures = {"free_bytes": free}
    if free < LITTLE:
        message = f"expected {LITTLE / 1e9:.0f} GB of free space or more in {path}, got {free / 1e9:.1f} GB; {remedy}"
        return Finding(name, Status.WARNING, message, figures)
    return Finding(name, Status.OK, f"{path}, {free / 1e9:.1f} GB free", figures)
