"""Training that starts from a head that exists."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from specdec.errors import OptionError, WrongCheckpoint
from specdec.training import Examples, load_method
from specdec.training.dataset import Example
from specdec.training.trainer import HeadTrainer
from tests.specdec_moa.heads import target
from tests.toys import VOCAB, build
from tests.training.test_trainer import examples, plan

SPECS = ("moa:lsa=no", "moa:tli=1", "eagle:input_layernorm=yes,draft_vocab=20", "eagle3:layers=1+3,draft_vocab=30")


def begin(spec: str, **options: Any) -> Any:
    torch.manual_seed(len(options))
    return load_method(spec, target(), **options).to(target().dtype)


@pytest.fixture(params=SPECS)
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str, dict[str, torch.Tensor]]:
    """A method, the folder of a head that it trained for two steps, and the head's weights."""
    method = begin(request.param)
    HeadTrainer(method, target(), examples(), plan(tmp_path / "head", max_steps=2)).run()
    return request.param.partition(":")[0], str(tmp_path / "head"), dict(method.head.state_dict())


def test_it_continues_from_what_was_learnt(saved: tuple[str, str, dict[str, torch.Tensor]], tmp_path: Path) -> None:
    name, folder, weights = saved
    method = begin(name, start=folder)
    others = Examples([Example(np.full(9, 7, dtype=np.int32), np.arange(9) >= 3)] * 8)  # whose vocabulary is another
    trainer = HeadTrainer(method, target(), others, plan(tmp_path / "again", max_steps=3))
    for key, weight in method.head.state_dict().items():
        assert torch.equal(weight.float(), weights[key].float()), key
    trainer.run()
    changed = [
        key for key, weight in method.head.state_dict().items() if not torch.equal(weight.float(), weights[key].float())
    ]
    assert changed
    assert not {"d2t", "t2d"} & set(changed)


def test_a_head_in_half_precision_is_trained_in_full(tmp_path: Path) -> None:
    begin("eagle").head.half().save_pretrained(tmp_path)
    method = load_method("eagle", target(), start=str(tmp_path))
    assert {weight.dtype for weight in method.head.parameters()} == {torch.float32}
    assert all(weight.requires_grad for weight in method.head.parameters())


@pytest.mark.parametrize(
    "spec", ["moa:tli=1", "moa:scale=2", "eagle:bias=no", "eagle3:copied=yes", "eagle3:layers=1+2"]
)
def test_it_is_not_of_another_shape(spec: str, tmp_path: Path) -> None:
    begin(spec.partition(":")[0]).save(str(tmp_path))
    option = spec.partition(":")[2].partition("=")[0]
    with pytest.raises(OptionError, match=f"expected no {option} with start, for .* has its own"):
        load_method(spec, target(), start=str(tmp_path))


def test_a_head_for_another_target_is_refused(tmp_path: Path) -> None:
    other = build("llama", vocab_size=VOCAB + 3)
    load_method("eagle", other).save(str(tmp_path))
    with pytest.raises(WrongCheckpoint, match="vocab_size"):
        load_method("eagle", target(), start=str(tmp_path))
    with pytest.raises(WrongCheckpoint, match=r"config\.json"):
        load_method("moa", target(), start=str(tmp_path / "nothing"))
