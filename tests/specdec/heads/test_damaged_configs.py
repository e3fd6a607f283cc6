"""A head's configuration may say anything: it is refused in one way, by the name of its file."""

import json
from pathlib import Path
from typing import Any

import pytest

from specdec import Target, load_drafter
from specdec.errors import WrongCheckpoint
from tests.specdec_eagle.heads import head as eagle
from tests.specdec_moa.heads import head as moa
from tests.specdec_moa.heads import target


@pytest.mark.parametrize("kind", ["moa", "eagle", "eagle3"])
@pytest.mark.parametrize(
    "change",
    [
        {"num_attention_heads": "many"},
        {"num_attention_heads": 1000},
        {"hidden_act": "nonsense"},
        {"vocab_size": None},
        {"target": [1]},
        {"rope_parameters": 3},
        {"max_position_embeddings": "x"},
    ],
    ids=str,
)
def test_a_damaged_config(kind: str, change: dict[str, Any], tmp_path: Path) -> None:
    model = target("llama")
    head = moa(model) if kind == "moa" else eagle(kind, model)
    head.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    load_drafter(kind, str(tmp_path), target=Target(model))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    with pytest.raises(WrongCheckpoint, match=str(tmp_path)):
        load_drafter(kind, str(tmp_path), target=Target(model))


def test_target_layer_inference_that_is_no_number(tmp_path: Path) -> None:
    model = target("llama")
    moa(model).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"target_layer_inference": "1"}))

    with pytest.raises(WrongCheckpoint, match=r"config\.json .*target_layer_inference"):
        load_drafter("moa", str(tmp_path), target=Target(model))
