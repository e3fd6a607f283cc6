"""Heads in everyone's format, read and written."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, LlamaConfig, PreTrainedModel

from specdec.errors import WrongCheckpoint
from specdec.heads import fingerprint
from specdec_eagle import Eagle3Config, Eagle3Model, EagleConfig, EagleModel
from tests.specdec_eagle.files import FOLDERS, GOLDEN, read, reweigh, rewrite, same
from tests.specdec_eagle.heads import FAMILIES, PART, head, target

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("eagle", {}),
    ("eagle", {"bias": False, "input_layernorm": True}),
    ("eagle", {"draft_vocab_size": PART}),
    ("eagle3", {}),
    ("eagle3", {"draft_vocab_size": 0, "qk_norm": True}),
    ("eagle3", {"norm_before_fc": True, "norm_before_residual": True, "own_embedding": True}),
]


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_round_trip(kind: str, name: str, options: dict[str, Any], tmp_path: Path) -> None:
    made = head(name, target(kind), target=fingerprint(target(kind).config), **options)
    made.save_pretrained(tmp_path)
    for found in (read(name, tmp_path, target(kind)), type(made).from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)):  # fmt: skip  # noqa: E501
        assert same(made, found)
        assert torch.equal(found.rotary.inv_freq, made.rotary.inv_freq)
        said = found.config.to_dict()
        for field, value in made.config.to_dict().items():
            assert field in ("dtype", "_name_or_path", "architectures") or said[field] == value
    assert any("q_proj.bias" in key for key in made.state_dict()) == (kind == "qwen2")


def test_published_layout(name: str, golden_model: PreTrainedModel, tmp_path: Path) -> None:
    """What is written has the published names, but for the target's own embedding."""
    read(name, GOLDEN / FOLDERS[name], golden_model).save_pretrained(tmp_path)
    published = load_file(GOLDEN / FOLDERS[name] / "model.safetensors")
    published.pop("embed_tokens.weight", None)
    written = load_file(tmp_path / "model.safetensors")
    assert written.keys() == published.keys()
    assert all(torch.equal(tensor, published[key]) for key, tensor in written.items())
    fields = json.loads((tmp_path / "config.json").read_text())
    for key, value in json.loads((GOLDEN / FOLDERS[name] / "config.json").read_text()).items():
        assert key in ("architectures", "torch_dtype", "model_type") or fields[key] == value


@pytest.mark.parametrize("half", [False, True])
def test_bin(name: str, folder: Path, half: bool, golden_model: PreTrainedModel) -> None:
    weights = load_file(folder / "model.safetensors")
    expected = read(name, folder, golden_model)
    if half:
        weights = {key: part.half() if part.is_floating_point() else part for key, part in weights.items()}
        expected = expected.half().float()
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert same(expected, read(name, folder, golden_model))


class Harm:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("harm done",)


def test_bin_with_code_in_it(name: str, folder: Path, golden_model: PreTrainedModel, capsys: Any) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"fc.weight": Harm()}, folder / "pytorch_model.bin")
    with pytest.raises(WrongCheckpoint, match="tensors alone"):
        read(name, folder, golden_model)
    for content in (pickle.dumps([1], 2), b"", b"nothing"):
        (folder / "pytorch_model.bin").write_bytes(content)
        with pytest.raises(WrongCheckpoint):
            read(name, folder, golden_model)
    torch.save([torch.zeros(1)], folder / "pytorch_model.bin")
    with pytest.raises(WrongCheckpoint, match="tensors by name"):
        read(name, folder, golden_model)
    assert "harm done" not in capsys.readouterr().out


def as_speculators(name: str, folder: Path) -> None:
    """Rewrite a head as the tools of `speculators` convert it."""
    layers = {"eagle": {"fc.": "fusion_fc.", "layers.0.": "transformer."}, "eagle3": {"midlayer.": "layers.0."}}[name]

    def rename(weights: dict[str, Any]) -> None:
        weights.pop("embed_tokens.weight", None)
        for key in list(weights):
            for ours, theirs in layers.items():
                if key.startswith(ours):
                    weights[theirs + key.removeprefix(ours)] = weights.pop(key)

    def wrap(fields: dict[str, Any]) -> None:
        own = {"speculators_model_type": name, "architectures": ["Eagle3Speculator"]}
        own |= {"fusion_bias": fields.pop("bias")} if name == "eagle" else {}
        own |= {} if name == "eagle" else {"draft_vocab_size": fields.pop("draft_vocab_size"), "fc_norm": False}
        inner = dict(fields)
        fields.clear()
        fields.update(own, transformer_layer_config=inner, norm_before_residual=False, target_hidden_size=None)
        fields["speculators_config"] = {"algorithm": name, "verifier": {"name_or_path": "somewhere"}}

    rewrite(folder, wrap)
    reweigh(folder, rename)


def test_speculators(name: str, folder: Path, golden_model: PreTrainedModel) -> None:
    expected = read(name, folder, golden_model)
    as_speculators(name, folder)
    found = read(name, folder, golden_model)
    assert same(expected, found)
    assert found.config.rms_norm_eps == expected.config.rms_norm_eps
    rewrite(folder, lambda fields: fields.update(norm_output=True))
    with pytest.raises(WrongCheckpoint, match="without norm_output"):
        read(name, folder, golden_model)
    rewrite(folder, lambda fields: fields.update(speculators_model_type="dflash"))
    with pytest.raises(WrongCheckpoint, match=r"type eagle or eagle3, .* dflash"):
        read(name, folder, golden_model)


def test_map_that_can_be_worked_out(tmp_path: Path, golden_model: PreTrainedModel) -> None:
    folder = Path(shutil.copytree(GOLDEN / "eagle3", tmp_path / "head"))
    expected = read("eagle3", folder, golden_model)
    reweigh(folder, lambda weights: weights.pop("t2d"))
    assert same(expected, read("eagle3", folder, golden_model))


def test_published_sizes() -> None:
    """For Llama 3 8B: a layer of 218.1 million parameters, and an fc of 33.6."""
    config = LlamaConfig(hidden_size=4096, num_attention_heads=32, num_key_value_heads=8, intermediate_size=14336, vocab_size=128256)  # fmt: skip  # noqa: E501
    with torch.device("meta"):
        small = EagleModel(EagleConfig.for_target(config, bias=False))
        large = Eagle3Model(Eagle3Config.for_target(config, draft_vocab_size=32000))
    assert sum(part.numel() for part in small.layer.parameters()) == 218_107_904
    assert small.fc.weight.numel() == 33_554_432
    shapes = {key: tuple(part.shape) for key, part in large.state_dict().items()}
    assert shapes["fc.weight"] == (4096, 12288)
    assert shapes["midlayer.self_attn.k_proj.weight"] == (1024, 8192)
    assert (shapes["lm_head.weight"], shapes["d2t"], shapes["t2d"]) == ((32000, 4096), (32000,), (128256,))
