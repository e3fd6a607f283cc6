"""A few of a model's tensors out of its files, without the others."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers.utils import cached_file

from specdec.drafters.files import find
from specdec.errors import WrongCheckpoint

WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"


def fill(modules: Mapping[str, nn.Module], path: str, device: torch.device) -> None:
    """Give modules without storage their tensors: those whose names begin with theirs.

    On a CPU half precision becomes float32, which it computes many times faster.

    Raises:
        WrongCheckpoint: there are no safetensors files, one is damaged, or a tensor is missing or of another shape.
    """
    wanted = {
        f"{prefix}.{name}": (module, name, tuple(tensor.shape))
        for prefix, module in modules.items()
        for name, tensor in module.state_dict().items()
    }
    tensors = _read(path, wanted)
    for prefix, module in modules.items():
        state: dict[str, Tensor] = {}
        for name, tensor in module.state_dict().items():
            found = tensors[f"{prefix}.{name}"]
            if found.shape != tensor.shape:
                raise WrongCheckpoint(
                    f"expected {prefix}.{name} in {path} to be {tuple(tensor.shape)}, got {tuple(found.shape)}"
                )
            half = device.type == "cpu" and found.dtype in (torch.float16, torch.bfloat16)
            state[name] = found.to(device, torch.float32 if half else found.dtype)
        module.load_state_dict(state, assign=True)


def _read(path: str, names: Iterable[str]) -> dict[str, Tensor]:
    files: dict[Path, list[str]] = {}
    index = _look(path, INDEX)
    places = {} if index is None else json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    for name in names:
        if index is not None and name not in places:
            raise WrongCheckpoint(f"expected {name} in {path}, found none")
        files.setdefault(find(path, places.get(name, WEIGHTS)), []).append(name)
    tensors: dict[str, Tensor] = {}
    for file, held in files.items():
        try:
            with safe_open(file, "pt") as opened:
                known = set(opened.keys())
                if missing := sorted(set(held) - known):
                    raise WrongCheckpoint(f"expected {missing[0]} in {path}, found none")
                tensors |= {name: opened.get_tensor(name) for name in held}
        except (SafetensorError, OSError) as error:
            raise WrongCheckpoint(f"expected {file} to be a whole safetensors file, got: {error}") from error
    return tensors


def _look(path: str, name: str) -> Path | None:
    try:
        found = cached_file(path, name, _raise_exceptions_for_missing_entries=False)
    except OSError as error:
        raise WrongCheckpoint(f"expected {name} in {path}, found none: {error}") from error
    return None if found is None else Path(found)
