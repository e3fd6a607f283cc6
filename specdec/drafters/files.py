"""Heads on disk or on the hub, read with suspicion."""

import json
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers.utils import cached_file

from specdec.errors import WrongCheckpoint


def find(path: str, *names: str) -> Path:
    """Find the first of these files that there is, in a folder or on the hub.

    Raises:
        WrongCheckpoint: there is none of them.
    """
    wanted = " or ".join(names)
    for name in names:
        try:
            found = cached_file(path, name, _raise_exceptions_for_missing_entries=False)
        except OSError as error:
            raise WrongCheckpoint(f"expected {wanted} in {path}, found none: {error}") from error
        if found is not None:
            return Path(found)
    raise WrongCheckpoint(f"expected {wanted} in {path}, found none")


def read_fields(path: Path) -> dict[str, Any]:
    """Read a configuration.

    Raises:
        WrongCheckpoint: it is no JSON object.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WrongCheckpoint(f"expected {path} to be JSON, got: {error}") from error
    if not isinstance(fields, dict):
        raise WrongCheckpoint(f"expected {path} to hold an object, got {type(fields).__name__}")
    return fields


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file, or of a `.bin`, in which nothing but tensors is allowed.

    Raises:
        WrongCheckpoint: the file is damaged or holds other things.
    """
    if path.suffix != ".bin":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WrongCheckpoint(f"expected {path} to be a whole safetensors file, got: {error}") from error
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError) as error:
        reason = str(error).partition("\n")[0]
        raise WrongCheckpoint(f"expected {path} to be a whole file of tensors alone, got: {reason}") from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise WrongCheckpoint(f"expected {path} to hold tensors by name, got {type(tensors).__name__} of other things")
    return tensors
