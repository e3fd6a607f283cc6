"""What a head borrows can be read from the target's files, and nothing else is."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from specdec_moa.weights import fill
from torch import nn
from transformers import PreTrainedModel

from specdec import Sampling, Target
from specdec.errors import ModelError, OptionError, UnsupportedModel, WrongCheckpoint
from specdec.plugins import load_drafter
from specdec_moa import MoADrafter, TargetParts
from tests.specdec_moa.heads import FAMILIES, head, target
from tests.specdec_moa.test_drafter import record
from tests.toys import RAGGED, build

SHARD = "30KB"


def saved(model: PreTrainedModel, folder: Path, size: str = SHARD) -> str:
    model.save_pretrained(folder, max_shard_size=size)
    return str(folder)


def tensors(parts: TargetParts) -> dict[str, torch.Tensor]:
    modules = nn.ModuleList([parts.embed, *parts.layers, parts.norm, parts.rotary, parts.head])
    return {**modules.state_dict(), **dict(modules.named_buffers())}


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("layers", [0, 2])
@pytest.mark.parametrize("size", [SHARD, "1GB"])
def test_equals_the_loaded_models(kind: str, layers: int, size: str, tmp_path: Path) -> None:
    model = target(kind)
    read = TargetParts.read(saved(model, tmp_path, size), layers)
    expected, found = tensors(TargetParts.of(model, layers)), tensors(read)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
    assert read.first == model.config.num_hidden_layers - layers


@pytest.mark.parametrize("tli", [0, 2])
def test_drafts_the_same(tli: int, tmp_path: Path) -> None:
    model = target()
    usual, remote = (
        MoADrafter(head(model), parts, "projected")
        for parts in (TargetParts.of(model, tli), TargetParts.read(saved(model, tmp_path), tli))
    )
    trees = [record(drafter, RAGGED[:2], Sampling(1.0, seed=2), 6) for drafter in (usual, remote)]
    for one, two in zip(*trees, strict=True):
        assert torch.equal(one.tokens, two.tokens)
        assert torch.equal(one.scores, two.scores)


def test_reads_no_other_tensor(tmp_path: Path) -> None:
    """With all other tensors gone from the files it is the same, and nothing is left without storage."""
    folder = Path(saved(target(), tmp_path, "1GB"))
    kept = {
        name: tensor
        for name, tensor in load_file(folder / "model.safetensors").items()
        if name.startswith(("model.embed_tokens.", "model.layers.3.", "model.norm.", "lm_head."))
    }
    save_file(kept, folder / "model.safetensors")
    parts = TargetParts.read(str(folder), 1)
    assert all(tensor.device.type == "cpu" for tensor in tensors(parts).values())
    with pytest.raises(WrongCheckpoint, match=r"expected model\.layers\.2\..*, found none"):
        TargetParts.read(str(folder), 2)


def test_ties_the_head_to_the_embedding(tmp_path: Path) -> None:
    model = build("llama", tie_word_embeddings=True)
    parts = TargetParts.read(saved(model, tmp_path))
    assert parts.head.weight is parts.embed.weight
    assert torch.equal(parts.head.weight, model.lm_head.weight)


def test_half_precision_is_made_single_on_a_cpu(tmp_path: Path) -> None:
    layer = nn.Linear(2, 3, bias=False)
    save_file({"one.weight": layer.weight.detach().half()}, tmp_path / "model.safetensors")
    with torch.device("meta"):
        other = nn.Linear(2, 3, bias=False)
    fill({"one": other}, str(tmp_path), torch.device("cpu"))
    assert torch.equal(other.weight, layer.weight.half().float())


def test_refuses_another_shape_and_a_torn_file(tmp_path: Path) -> None:
    save_file({"one.weight": torch.zeros(3, 4)}, tmp_path / "model.safetensors")
    with pytest.raises(WrongCheckpoint, match=r"expected one\.weight in .* to be \(3, 2\), got \(3, 4\)"):
        fill({"one": nn.Linear(2, 3, bias=False)}, str(tmp_path), torch.device("cpu"))
    (tmp_path / "model.safetensors").write_bytes(b"\x08\0\0\0")
    with pytest.raises(WrongCheckpoint, match=r"expected .* to be a whole safetensors file"):
        fill({"one": nn.Linear(2, 3, bias=False)}, str(tmp_path), torch.device("cpu"))


def test_refuses_what_is_no_target(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model can be read from"):
        TargetParts.read(str(tmp_path / "nothing"))
    folder = saved(target(), tmp_path)
    with pytest.raises(UnsupportedModel, match="0 to 3 layers, got 4"):
        TargetParts.read(folder, 4)


class Remote(Target):
    """Gives no model away."""

    model = None  # type: ignore[assignment]


def test_a_drafter_for_a_target_elsewhere(tmp_path: Path) -> None:
    model = target()
    at, own = saved(model, tmp_path / "target"), str(tmp_path / "head")
    head(model).save_pretrained(own)
    elsewhere = Remote(model)
    drafter = load_drafter("moa", own, target=elsewhere, parts=at, tli=1)
    assert isinstance(drafter, MoADrafter)
    assert len(drafter.parts.layers) == 1
    with pytest.raises(OptionError, match="expected a target on this machine, or `parts=`"):
        load_drafter("moa", own, target=elsewhere)
