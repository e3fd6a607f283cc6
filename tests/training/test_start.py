"""Training that starts from a head that exists."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from specdec.errors import OptionError, WrongCheckpoint
from specdec.heads import fingerprint
from specdec.training import Examples, Progress, Teacher, collate, load_method
from specdec.training.dataset import Example
from specdec.training.trainer import HeadTrainer
from tests.specdec_eagle.heads import head
from tests.specdec_moa.heads import target
from tests.toys import VOCAB, build
from tests.training.test_trainer import examples, plan

SPECS = (
    "moa:lsa=no",
    "moa:tli=1,scale=3.0",
    "eagle:input_layernorm=yes,draft_vocab=20",
    "eagle3:layers=1+3,draft_vocab=30",
)


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
    before = json.loads((Path(folder) / "config.json").read_text())
    after = method.head.config.to_dict()
    assert all(after[key] == value for key, value in before.items() if key in type(method.head.config).__annotations__)
    assert len(method.parts.layers) == before.get("target_layer_inference", 0)
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
    "spec",
    [
        *("moa:lsa=no", "moa:scale=2.0", "moa:draft_vocab=9", "moa:sizes=self_attention_intermediate_size=8"),
        *("eagle:bias=no", "eagle:input_layernorm=yes", "eagle:draft_vocab=-1", "eagle:sizes=intermediate_size=8"),
        *("eagle3:copied=yes", "eagle3:layers=1+2", "eagle3:draft_vocab=9", "eagle3:sizes=intermediate_size=8"),
    ],
)
def test_it_is_not_of_another_shape(spec: str) -> None:
    option = spec.partition(":")[2].partition("=")[0]
    with pytest.raises(OptionError, match=f"expected {option} to be left out with start, because that decides it"):
        load_method(spec, target(), start="that")


def test_layers_of_target_layer_inference_may_be_given(tmp_path: Path) -> None:
    """The published format does not say how many a head was trained with."""
    begin("moa").save(str(tmp_path))
    method: Any = load_method("moa:tli=2", target(), start=str(tmp_path))
    assert len(method.parts.layers) == method.head.config.target_layer_inference == 2


def test_it_is_for_its_target_from_then_on(tmp_path: Path) -> None:
    """Published heads do not say which target they are for."""
    begin("eagle").save(str(tmp_path))
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"target": None}))
    assert load_method("eagle", target(), start=str(tmp_path)).head.config.target == fingerprint(target().config)


@pytest.mark.parametrize("sizes", [{}, {"hidden_size": 64, "target_hidden_size": 32}])
def test_an_embedding_of_its_own_is_read_and_stays(sizes: dict[str, int], tmp_path: Path) -> None:
    made = head("eagle3", target(), own_embedding=True, **sizes)
    made.save_pretrained(tmp_path / "head")
    method: Any = begin("eagle3", start=str(tmp_path / "head"))
    before = made.embed_tokens.weight
    HeadTrainer(method, target(), examples(), plan(tmp_path / "again", max_steps=3)).run()
    assert torch.equal(method.head.embed_tokens.weight.float(), before.float())
    assert not torch.equal(method.head.fc.weight.float(), made.fc.weight.float())
    read = Teacher(target(), method.needs).read(collate([examples()[index] for index in range(3)])["batch"])
    loss = method(read, Progress(0.0, 1.0))["loss"]
    method.head.embed_tokens.weight.data.zero_()
    assert not torch.equal(method(read, Progress(0.0, 1.0))["loss"], loss)


def test_a_head_for_another_target_is_refused(tmp_path: Path) -> None:
    other = build("llama", vocab_size=VOCAB + 3)
    load_method("eagle", other).save(str(tmp_path))
    with pytest.raises(WrongCheckpoint, match="vocab_size"):
        load_method("eagle", target(), start=str(tmp_path))
    with pytest.raises(WrongCheckpoint, match=r"config\.json"):
        load_method("moa", target(), start=str(tmp_path / "nothing"))
