"""Heads in folders, and what is done to these."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from specdec.heads import TargetParts
from specdec_eagle.checkpoint import load
from tests.specdec_eagle.heads import KINDS

GOLDEN = Path(__file__).parent / "golden"
FOLDERS = {"eagle": "eagle2", "eagle3": "eagle3"}


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    fields = json.loads((folder / "config.json").read_text())
    change(fields)
    (folder / "config.json").write_text(json.dumps(fields))


def reweigh(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def read(name: str, folder: Path, model: PreTrainedModel) -> Any:
    return load(KINDS[name][1], str(folder), TargetParts.of(model))


def same(one: nn.Module, other: nn.Module) -> bool:
    theirs = other.state_dict()
    return one.state_dict().keys() == theirs.keys() and all(
        torch.equal(tensor, theirs[key].to(tensor)) for key, tensor in one.state_dict().items()
    )
