"""Heads on disk, whole and otherwise."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, PreTrainedModel

from specdec import Step, Target, Tree, Verifier
from specdec.errors import OptionError, WrongCheckpoint
from specdec.heads import fingerprint
from specdec.plugins import Plugins
from specdec_moa import MoAModel, plugin
from specdec_moa.checkpoint import load
from specdec_moa.config import MoAConfig
from tests.specdec_moa.heads import FAMILIES, head, target
from tests.toys import build, byte_tokenizer

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / "moa_tli0", tmp_path / "head"))


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    fields = json.loads((folder / "config.json").read_text())
    change(fields)
    (folder / "config.json").write_text(json.dumps(fields))


def reweigh(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize(
    "sizes", [{}, {"disable_LSA": True}, {"layer_self_attention_num_attention_heads": 1}, {"draft_vocab_size": 40}]
)
def test_round_trip(kind: str, sizes: dict[str, Any], tmp_path: Path) -> None:
    made = head(target(kind), target_layer_inference=2, target=fingerprint(target(kind).config), **sizes)
    made.save_pretrained(tmp_path)
    for read in (
        load(str(tmp_path), target(kind).config),
        MoAModel.from_pretrained(tmp_path),
        AutoModel.from_pretrained(tmp_path),
    ):
        differing = {"dtype", "_name_or_path"}
        for name, value in made.config.to_dict().items():
            assert name in differing or read.config.to_dict()[name] == value
        for name, tensor in made.state_dict().items():
            assert torch.equal(read.state_dict()[name].to(tensor), tensor)
        assert torch.equal(read.self_rotary.inv_freq, made.self_rotary.inv_freq)
    assert ("self_attention.self_attn.q_proj.bias" in made.state_dict()) == (kind == "qwen2")


def test_published_layout(golden_model: PreTrainedModel, tmp_path: Path) -> None:
    """What is written has the published names."""
    model = load(str(GOLDEN / "moa_tli0"), golden_model.config)
    model.save_pretrained(tmp_path)
    assert load_file(tmp_path / "model.safetensors").keys() == load_file(GOLDEN / "moa_tli0/model.safetensors").keys()
    published = json.loads((GOLDEN / "moa_tli0/config.json").read_text())
    written = json.loads((tmp_path / "config.json").read_text())
    for name, value in published.items():
        if name not in ("architectures", "torch_dtype"):
            assert written[name] == value


def test_sizes_come_from_the_tensors(folder: Path, golden_model: PreTrainedModel) -> None:
    """A configuration saved in training is the target's, and names none of the head's sizes."""
    shutil.copy(GOLDEN / "target/config.json", folder / "config.json")
    config = load(str(folder), golden_model.config).config
    assert (config.self_attention_num_key_value_heads, config.cross_attention_num_key_value_heads) == (4, 2)
    assert (config.kv_hidden_size, config.layer_self_attention_intermediate_size) == (32, 36)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"cross_attention_num_key_value_heads": 3}, "cross_attention .* 4 heads, 3 of keys and values"),
        ({"layer_self_attention_head_dim": 7}, "layer_self_attention .* size 7"),
    ],
)
def test_heads_that_cannot_be(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        MoAConfig.for_target(target("llama").config, **sizes)


def test_fewer_heads_are_as_large() -> None:
    usual = head(target("llama")).layer_self_attention.self_attn
    fewer = head(target("llama"), layer_self_attention_num_attention_heads=1).layer_self_attention.self_attn
    assert usual.q_proj.out_features == 4 * fewer.q_proj.out_features
    assert usual.k_proj.out_features == fewer.k_proj.out_features == fewer.head_dim


def test_scaled_rotary_embedding() -> None:
    scaling = {"rope_type": "linear", "factor": 4.0, "rope_theta": 5e5}
    model = build("llama", num_hidden_layers=4, rope_parameters=scaling)
    made = head(model)
    assert torch.allclose(made.self_rotary.inv_freq * 4, made.cross_rotary.inv_freq)
    assert torch.equal(head(model, scale_all_rotary=True).cross_rotary.inv_freq, made.self_rotary.inv_freq)
    assert made.config.to_dict()["rope_scaling"] == scaling


@pytest.mark.parametrize("size", [0, 5, 300, 5000, 200_000])
def test_truncated_file(folder: Path, golden_model: PreTrainedModel, size: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(WrongCheckpoint, match="whole safetensors file"):
        load(str(folder), golden_model.config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("cross_attention.mlp.up_proj.weight"), r"cross_attention.mlp.up_proj.weight .* got none"),
        (lambda w: w.update(extra=torch.zeros(1)), "extra .* to be absent"),
        (lambda w: w.pop("self_attention.self_attn.q_proj.weight"), "expected a matrix self_attention"),
        (lambda w: w.update({"Ekv2E.bias": torch.zeros(3)}), r"Ekv2E.bias .* \(64,\), got \(3,\)"),
    ],
)
def test_wrong_tensors(folder: Path, golden_model: PreTrainedModel, change: Any, message: str) -> None:
    reweigh(folder, change)
    with pytest.raises(WrongCheckpoint, match=message):
        load(str(folder), golden_model.config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(vocab_size=98), "vocab_size 97, got .* made for vocab_size 98"),
        (lambda c: c.update(target={"num_hidden_layers": 8}), "num_hidden_layers 7, got .* num_hidden_layers 8"),
        (lambda c: c.update(self_attention_intermediate_size=73), "73 as its config.json says, got 72"),
    ],
)
def test_wrong_config(folder: Path, golden_model: PreTrainedModel, change: Any, message: str) -> None:
    rewrite(folder, change)
    with pytest.raises(WrongCheckpoint, match=message):
        load(str(folder), golden_model.config)


@pytest.mark.parametrize("text", ["", "[]", "{", "\0"])
def test_config_that_is_none(folder: Path, golden_model: PreTrainedModel, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(WrongCheckpoint):
        load(str(folder), golden_model.config)


def test_missing_files(tmp_path: Path, golden_model: PreTrainedModel) -> None:
    with pytest.raises(WrongCheckpoint, match=r"config.json"):
        load(str(tmp_path), golden_model.config)


def test_other_target() -> None:
    with pytest.raises(WrongCheckpoint, match=r"hidden_size 32, got .* 64"):
        load(str(GOLDEN / "moa_tli0"), build("llama", vocab_size=97).config)


def test_other_vocabulary_of_the_same_size(tmp_path: Path) -> None:
    model, tokenizer = target(), byte_tokenizer()
    head(model, target=fingerprint(model.config, tokenizer)).save_pretrained(tmp_path)
    load(str(tmp_path), model.config, tokenizer)
    load(str(tmp_path), model.config)
    other = byte_tokenizer.__wrapped__()
    other.add_tokens(["<new>"])
    with pytest.raises(WrongCheckpoint, match="vocabulary"):
        load(str(tmp_path), model.config, other)


class Elsewhere(Verifier):
    """Has its model on another machine."""

    def prefill(self, *args: object) -> Step:
        raise NotImplementedError

    def verify(self, trees: Sequence[Tree | None]) -> Step:
        raise NotImplementedError


def test_registers_itself(golden_target: Target, tmp_path: Path) -> None:
    plugins = Plugins(group="none")
    plugins.add(plugin, "moa")
    given = {"path": str(GOLDEN / "moa_tli1"), "target": golden_target}
    drafter = plugins.make("drafter", "moa", given, {})
    assert len(drafter.parts.layers) == 1
    assert len(plugins.make("drafter", "moa", given, {"tli": 2}).parts.layers) == 2
    with pytest.raises(OptionError, match="target on this machine"):
        plugins.make("drafter", "moa", {**given, "target": Elsewhere()}, {})
    with pytest.raises(OptionError, match="cut of projected, memory, raw"):
        plugins.make("drafter", "moa", given, {"cut": "thin"})


def test_published_sizes() -> None:
    """264,265,728 parameters in 29 tensors for Llama 3 8B."""
    options = {"hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128}
    small = build("llama", num_hidden_layers=1)
    config = type(small.config)(**{**small.config.to_dict(), **options, "vocab_size": 128256})
    with torch.device("meta"):
        model = MoAModel(MoAConfig.for_target(config))
    assert sum(parameter.numel() for parameter in model.parameters()) == 264_265_728
    assert len(model.state_dict()) == 29
