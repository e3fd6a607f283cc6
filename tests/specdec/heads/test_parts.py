"""Parts of a target can be read from its files, and nothing else is."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForImageTextToText, PreTrainedModel

from specdec import Drafter, Sampling, Target, load_drafter
from specdec.errors import ModelError, OptionError, UnsupportedModel, WrongCheckpoint
from specdec.heads import TargetParts, read_named
from specdec.policies import Dynamic
from specdec_moa import MoADrafter
from tests.specdec.heads.trees import Trees, check_same, record
from tests.specdec_eagle.heads import NAMES
from tests.specdec_eagle.heads import head as eagle_head
from tests.specdec_moa.heads import FAMILIES, head, target
from tests.test_architectures import load
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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_single_on_a_cpu(dtype: torch.dtype, tmp_path: Path) -> None:
    model = build("llama").to(dtype)
    parts = TargetParts.read(saved(model, tmp_path), 1)
    assert parts.dtype == torch.float32
    for name, tensor in tensors(TargetParts.of(model, 1)).items():
        assert name.endswith("inv_freq") or torch.equal(tensors(parts)[name], tensor.float())


def test_refuses_another_shape_and_a_torn_file(tmp_path: Path) -> None:
    folder = Path(saved(build("llama"), tmp_path, "1GB"))
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "model.norm.weight": torch.zeros(3, 4)}, folder / "model.safetensors")
    with pytest.raises(WrongCheckpoint, match=r"expected model\.norm\.weight in .* to be \(32,\), got \(3, 4\)"):
        TargetParts.read(str(folder))
    (folder / "model.safetensors").write_bytes(b"\x08\0\0\0")
    with pytest.raises(WrongCheckpoint, match=r"expected .* to be a whole safetensors file"):
        TargetParts.read(str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(WrongCheckpoint, match=r"expected model\.safetensors in .*, found none"):
        read_named(str(folder), ["model.norm.weight"])


def test_refuses_what_is_no_target(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model can be read from"):
        TargetParts.read(str(tmp_path / "nothing"))
    folder = saved(target(), tmp_path)
    with pytest.raises(UnsupportedModel, match="0 to 3 layers, got 4"):
        TargetParts.read(folder, 4)


class Remote(Target):
    """Gives no model away."""

    model = None  # type: ignore[assignment]


@pytest.mark.parametrize(("name", "options"), [("moa", {}), ("moa", {"tli": 2}), *((name, {}) for name in NAMES)])
def test_a_drafter_for_a_target_elsewhere(name: str, options: dict[str, int], tmp_path: Path) -> None:
    """It drafts as it does beside its target."""
    model, own = target(), str(tmp_path / "head")
    (head(model) if name == "moa" else eagle_head(name, model)).save_pretrained(own)
    elsewhere, at = Remote(model), saved(model, tmp_path / "target")

    def trees(drafter: Drafter) -> list[Trees]:
        return record(drafter, model, Dynamic(depth=4, width=3, size=9), RAGGED[:2], Sampling(1.0, seed=2), 6)

    usual = load_drafter(name, own, target=Target(model), **options)
    remote = load_drafter(name, own, target=elsewhere, parts=at, **options)
    for one, two in zip(trees(usual), trees(remote), strict=True):
        check_same(one, two)
    with pytest.raises(OptionError, match="expected a target on this machine, or its `files`"):
        load_drafter(name, own, target=elsewhere)
    with pytest.raises(ModelError, match="no model can be read from"):
        load_drafter(name, own, target=elsewhere, parts=str(tmp_path / "nothing"))


@pytest.mark.filterwarnings("ignore")
def test_of_a_model_for_images_too(tmp_path: Path) -> None:
    """A loaded one has them in its language part; in files they have other names."""
    model = load("tiny_models").tiny_model("llava", AutoModelForImageTextToText)
    parts = TargetParts.of(model, 1)
    assert parts.norm is model.model.language_model.norm
    with pytest.raises(UnsupportedModel, match=r"expected a model of language alone in .*, got a llava"):
        TargetParts.read(saved(model, tmp_path), 1)


def test_as_many_layers_as_asked_for(tmp_path: Path) -> None:
    model, own = target(), str(tmp_path / "head")
    head(model).save_pretrained(own)
    drafter = load_drafter("moa", own, target=Remote(model), parts=saved(model, tmp_path / "target"), tli=1)
    assert isinstance(drafter, MoADrafter)
    assert len(drafter.parts.layers) == 1
