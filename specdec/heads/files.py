"""Files of models and heads, in a folder or on the hub, read with suspicion."""

import json
import pickle
from collections.abc import Collection, Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers.utils import cached_file

from specdec.errors import WrongCheckpoint

WEIGHTS = "model.safetensors"


def find(path: str | PathLike[str], *names: str) -> Path:
    """Find the first of these files that exists.

    Raises:
        WrongCheckpoint: none of them does.
    """
    for name in names:
        file = _look_for(path, name)
        if file is not None:
            return file
    raise WrongCheckpoint(f"expected {' or '.join(names)} in {path}, found none")


def read_fields(file: Path) -> dict[str, Any]:
    """Read a configuration.

    Raises:
        WrongCheckpoint: it is no JSON object.
    """
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WrongCheckpoint(f"expected {file} to be JSON, got: {error}") from error
    if not isinstance(fields, dict):
        raise WrongCheckpoint(f"expected {file} to hold an object, got {type(fields).__name__}")
    return fields


def read_tensors(file: Path, names: Collection[str] | None = None) -> dict[str, Tensor]:
    """Read tensors of a safetensors file, all or those with these names, or of a `.bin` that holds tensors alone.

    Raises:
        WrongCheckpoint: the file is damaged, holds other things, or lacks a tensor.
    """
    if file.suffix == ".bin":
        return _read_pickle(file)
    try:
        with safe_open(file, "pt") as opened:
            known = list(opened.keys())
            if missing := sorted(set(names or ()) - set(known)):
                raise WrongCheckpoint(f"expected {missing[0]} in {file}, found none")
            return {name: opened.get_tensor(name) for name in (known if names is None else names)}
    except (SafetensorError, OSError) as error:
        raise WrongCheckpoint(f"expected {file} to be a whole safetensors file, got: {error}") from error


def read_named(path: str | PathLike[str], names: Iterable[str]) -> dict[str, Tensor]:
    """Read some of a model's tensors out of its safetensors files, one or several, without the others.

    Raises:
        WrongCheckpoint: there are no such files, one is damaged, or a tensor is missing.
    """
    index = _look_for(path, f"{WEIGHTS}.index.json")
    places = None if index is None else read_fields(index)["weight_map"]
    files: dict[str, list[str]] = {}
    for name in names:
        if places is not None and name not in places:
            raise WrongCheckpoint(f"expected {name} in {path}, found none")
        files.setdefault(WEIGHTS if places is None else places[name], []).append(name)
    tensors: dict[str, Tensor] = {}
    for file, inside in files.items():
        tensors |= read_tensors(find(path, file), inside)
    return tensors


def _look_for(path: str | PathLike[str], name: str) -> Path | None:
    try:
        file = cached_file(path, name, _raise_exceptions_for_missing_entries=False)
    except OSError as error:
        raise WrongCheckpoint(f"expected {name} in {path}, found none: {error}") from error
    return None if file is None else Path(file)


def _read_pickle(file: Path) -> dict[str, Tensor]:
    try:
        tensors = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError) as error:
        reason = str(error).partition("\n")[0]
        raise WrongCheckpoint(f"expected {file} to be a whole file of tensors alone, got: {reason}") from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise WrongCheckpoint(f"expected {file} to hold tensors by name, got {type(tensors).__name__} of other things")
    return tensors
