"""Files of models and heads, in a folder or on the hub, read with suspicion."""

import json
import pickle
from collections.abc import Collection, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers.utils import cached_file

from specdec.errors import WrongCheckpoint

WEIGHTS = "model.safetensors"
STORED = (WEIGHTS, "pytorch_model.bin")
"""Where weights may be: in one file of either name, or in several that an index of that name lists."""
WRAPPERS = ("module.", "_orig_mod.")
"""What torch puts before the names of a model that is trained on several devices, or compiled."""


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


def read_all(path: str | PathLike[str]) -> dict[str, Tensor]:
    """Read all tensors of a model, in one file or several, by their names in the model itself.

    Raises:
        WrongCheckpoint: there are no such files, one is damaged, or one lacks a tensor.
    """
    index = next((places for name in STORED if (places := _index(path, name)) is not None), None)
    tensors = read_tensors(find(path, *STORED)) if index is None else _read_parts(path, index)
    for prefix in WRAPPERS * 2:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def read_named(path: str | PathLike[str], names: Iterable[str]) -> dict[str, Tensor]:
    """Read some of a model's tensors out of its safetensors files, one or several, without the others.

    Raises:
        WrongCheckpoint: there are no such files, one is damaged, or a tensor is missing.
    """
    places = _index(path, WEIGHTS)
    if places is None:
        return read_tensors(find(path, WEIGHTS), [*names])
    if missing := [name for name in names if name not in places]:
        raise WrongCheckpoint(f"expected {missing[0]} in {path}, found none")
    return _read_parts(path, {name: places[name] for name in names})


def _index(path: str | PathLike[str], name: str) -> dict[str, str] | None:
    """Say in which file each tensor is, if there is an index."""
    file = _look_for(path, f"{name}.index.json")
    if file is None:
        return None
    places = read_fields(file).get("weight_map")
    if not isinstance(places, dict) or not all(Path(str(part)).name == part for part in places.values()):
        raise WrongCheckpoint(f"expected {file} to name a file beside it for each tensor, got {places!r:.100}")
    return places


def _read_parts(path: str | PathLike[str], places: Mapping[str, str]) -> dict[str, Tensor]:
    """Read these tensors, each out of its file."""
    tensors: dict[str, Tensor] = {}
    for file in dict.fromkeys(places.values()):
        inside = [name for name, place in places.items() if place == file]
        found = read_tensors(find(path, file), inside)
        if missing := [name for name in inside if name not in found]:
            raise WrongCheckpoint(f"expected {missing[0]} in {file} of {path}, found none")
        tensors |= {name: found[name] for name in inside}
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
