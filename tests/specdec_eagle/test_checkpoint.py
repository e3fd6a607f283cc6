"""Heads on disk that are not what they should be."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from specdec import Step, Target, Tree, Verifier, load_drafter
from specdec.errors import OptionError, UnsupportedModel, WrongCheckpoint
from specdec.heads import TargetParts, fingerprint
from specdec_eagle.checkpoint import load
from specdec_eagle.plugin import eagle
from tests.specdec_eagle.files import FOLDERS, GOLDEN, read, reweigh, rewrite, same
from tests.specdec_eagle.heads import KINDS, NAMES, head, target
from tests.toys import build, byte_tokenizer, tiny


def turned(offsets: torch.Tensor) -> torch.Tensor:
    """Give the draft vocabulary the other way round."""
    places = torch.arange(len(offsets))
    return (places + offsets).flip(0) - places


@pytest.mark.parametrize("size", [0, 5, 300, 5000, 150_000])
def test_truncated_file(name: str, folder: Path, golden_model: PreTrainedModel, size: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(WrongCheckpoint, match="whole safetensors file"):
        read(name, folder, golden_model)


def shards(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Deal tensors out to two files."""
    names = sorted(tensors)
    parts = {"part-1": names[::2], "part-2": names[1::2]}
    return {file: {name: tensors[name].clone() for name in inside} for file, inside in parts.items()}


def split(folder: Path, ending: str) -> None:
    """Store weights in several files, as a large model's are."""
    whole = folder / "model.safetensors"
    parts = {f"{name}.{ending}": part for name, part in shards(load_file(whole)).items()}
    for file, part in parts.items():
        if ending == "bin":
            torch.save(part, folder / file)
        else:
            save_file(part, folder / file)
    whole.unlink()
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    stem = "pytorch_model.bin" if ending == "bin" else "model.safetensors"
    (folder / f"{stem}.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_weights_in_several_files(name: str, folder: Path, golden_model: PreTrainedModel, ending: str) -> None:
    whole = read(name, folder, golden_model)
    split(folder, ending)

    assert same(read(name, folder, golden_model), whole)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_weights_of_a_model_that_was_wrapped_in_training(
    name: str, folder: Path, golden_model: PreTrainedModel, prefix: str
) -> None:
    whole = read(name, folder, golden_model)

    def wrap(weights: dict[str, Tensor]) -> None:
        weights.update({prefix + key: weights.pop(key) for key in list(weights)})

    reweigh(folder, wrap)
    assert same(read(name, folder, golden_model), whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index.pop("weight_map"), "name a file beside it for each tensor, got None"),
        (lambda index: index["weight_map"].update({"fc.weight": "../part-1.safetensors"}), "a file beside it"),
        (lambda index: index["weight_map"].update({"fc.weight": "part-3.safetensors"}), "part-3.safetensors in"),
        (lambda index: index["weight_map"].update(extra="part-1.safetensors"), "expected extra in"),
    ],
)
def test_wrong_index(name: str, folder: Path, golden_model: PreTrainedModel, change: Any, message: str) -> None:
    split(folder, "safetensors")
    file = folder / "model.safetensors.index.json"
    index = json.loads(file.read_text())
    change(index)
    file.write_text(json.dumps(index))
    with pytest.raises(WrongCheckpoint, match=message):
        read(name, folder, golden_model)


LAYER = {"eagle": "layers.0.", "eagle3": "midlayer."}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w, layer: w.pop(f"{layer}mlp.up_proj.weight"), r"up_proj.weight .* got none"),
        (lambda w, layer: w.update(extra=torch.zeros(1)), "extra .* to be absent"),
        (lambda w, layer: w.pop("fc.weight"), "expected a matrix fc.weight .* got none"),
        (lambda w, layer: w.update({f"{layer}self_attn.q_proj.weight": torch.zeros(60, 64)}), "queries of 8 heads"),
        (lambda w, layer: [w.pop(key) for key in list(w) if key.startswith(layer)], "expected an EAGLE-.*, got none"),
    ],
)
def test_wrong_tensors(name: str, folder: Path, golden_model: PreTrainedModel, change: Any, message: str) -> None:
    reweigh(folder, lambda weights: change(weights, LAYER[name]))
    with pytest.raises(WrongCheckpoint, match=message):
        read(name, folder, golden_model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("d2t"), "d2t .* for 61 tokens, got none"),
        (lambda w: w.update(d2t=w["d2t"] + 1), "the same tokens"),
        (lambda w: (w.pop("t2d"), w.update(d2t=w["d2t"] + 1000)), "tokens below 97, got 10"),
        (lambda w: (w.pop("t2d"), w.update(d2t=w["d2t"] - 1000)), "tokens below 97, got -"),
        (lambda w: w.update(d2t=turned(w["d2t"])), "tokens in ascending order, got another"),
        (lambda w: w.update(t2d=w["t2d"][:-1]), "vocab_size 97 .* got 96"),
    ],
)
def test_wrong_draft_vocabulary(tmp_path: Path, golden_model: PreTrainedModel, change: Any, message: str) -> None:
    folder = Path(shutil.copytree(GOLDEN / "eagle3", tmp_path / "head"))
    reweigh(folder, change)
    with pytest.raises(WrongCheckpoint, match=message):
        read("eagle3", folder, golden_model)


def test_embedding_of_its_own(tmp_path: Path, golden_model: PreTrainedModel) -> None:
    """EAGLE-3's may be trained; EAGLE-1/2's is a copy, so that another one tells of another target."""
    other = torch.randn(97, 64)
    for name in NAMES:
        folder = Path(shutil.copytree(GOLDEN / FOLDERS[name], tmp_path / name))
        reweigh(folder, lambda weights: weights.update({"embed_tokens.weight": other}))
    assert torch.equal(read("eagle3", tmp_path / "eagle3", golden_model).embed_tokens.weight, other)
    with pytest.raises(WrongCheckpoint, match="made for another target"):
        read("eagle", tmp_path / "eagle", golden_model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(vocab_size=98), "vocab_size 98 as its config.json says, got 97|vocab_size 97, got .* 98"),
        (lambda c: c.update(target={"num_hidden_layers": 8}), "num_hidden_layers 7, got .* num_hidden_layers 8"),
        (lambda c: c.update(intermediate_size=73), "73 as its config.json says, got"),
    ],
)
def test_wrong_config(name: str, folder: Path, golden_model: PreTrainedModel, change: Any, message: str) -> None:
    rewrite(folder, change)
    with pytest.raises(WrongCheckpoint, match=message):
        read(name, folder, golden_model)


@pytest.mark.parametrize("text", ["", "[]", "{", "\0"])
def test_config_that_is_none(name: str, folder: Path, golden_model: PreTrainedModel, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(WrongCheckpoint):
        read(name, folder, golden_model)


def test_missing_files(name: str, folder: Path, golden_model: PreTrainedModel) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(WrongCheckpoint, match=r"model.safetensors or pytorch_model.bin .* found none"):
        read(name, folder, golden_model)


def test_the_other_kind(golden_model: PreTrainedModel) -> None:
    with pytest.raises(WrongCheckpoint, match=r"an EAGLE-3 head, with tensors midlayer.\*, .* got layers.0."):
        read("eagle3", GOLDEN / "eagle2", golden_model)
    with pytest.raises(WrongCheckpoint, match=r"an EAGLE-1/2 head"):
        read("eagle", GOLDEN / "eagle3", golden_model)


def test_other_target(name: str) -> None:
    with pytest.raises(WrongCheckpoint, match=r"hidden_size 32, got .* 64"):
        read(name, GOLDEN / FOLDERS[name], build("llama", vocab_size=97))


def test_states_that_the_target_does_not_have(tmp_path: Path, golden_model: PreTrainedModel) -> None:
    folder = Path(shutil.copytree(GOLDEN / "eagle3", tmp_path / "head"))
    rewrite(folder, lambda fields: fields.update(eagle_aux_hidden_state_layer_ids=[2, 3, 40]))
    with pytest.raises(WrongCheckpoint, match=r"states 0 to 7, got \[2, 3, 40\]"):
        read("eagle3", folder, golden_model)


def test_other_vocabulary_of_the_same_size(name: str, tmp_path: Path) -> None:
    model, tokenizer = target(), byte_tokenizer()
    head(name, model, target=fingerprint(model.config, tokenizer)).save_pretrained(tmp_path)
    kind, parts = KINDS[name][1], TargetParts.of(model)
    load(kind, str(tmp_path), parts, tokenizer)
    other = byte_tokenizer.__wrapped__()
    other.add_tokens(["<new>"])
    with pytest.raises(WrongCheckpoint, match="vocabulary"):
        load(kind, str(tmp_path), parts, other)


class Elsewhere(Verifier):
    """Has its model on another machine."""

    def prefill(self, *args: object) -> Step:
        raise NotImplementedError

    def verify(self, trees: Sequence[Tree | None]) -> Step:
        raise NotImplementedError


def test_loads_by_name(name: str, golden_target: Target) -> None:
    drafter: Any = load_drafter(name, str(GOLDEN / FOLDERS[name]), golden_target)
    assert isinstance(drafter, KINDS[name][2])
    with pytest.raises(OptionError, match="target on this machine"):
        load_drafter(name, str(GOLDEN / FOLDERS[name]), Elsewhere())


def test_family_that_was_never_tried() -> None:
    with pytest.raises(UnsupportedModel, match="llama, mistral, qwen2, qwen3, got gemma"):
        eagle(str(GOLDEN / "eagle2"), Target(tiny("gemma")))
