"""What a head costs is measured on the sizes that were asked for."""

from pathlib import Path

import pytest
from attrs import astuple

from specdec_moa import bench
from specdec_moa.config import MoAConfig
from specdec_moa.model import MoAModel
from specdec_moa.training import method
from tests.toys import build

NARROW = {
    "layer_self_attention_num_attention_heads": 1,
    "layer_self_attention_intermediate_size": 8,
    "self_attention_intermediate_size": 24,
    "cross_attention_intermediate_size": 16,
    "draft_vocab_size": 30,
}


def test_a_trained_heads_sizes_are_taken(tmp_path: Path) -> None:
    model = build("llama")
    MoAModel(MoAConfig.for_target(model.config, **NARROW)).save_pretrained(tmp_path)
    sized = method(model, **bench.options_of(str(tmp_path))).head.config
    assert {name: getattr(sized, name) for name in NARROW} == NARROW
    assert bench.options_of("") == {}


@pytest.mark.parametrize("tli", [0, 1])
def test_each_pass_is_on_the_clock(tli: int) -> None:
    model = build("llama")
    for cost in (bench.decoding(model, {"tli": tli}, 8, 4), bench.training(model, {"tli": tli}, 2)):
        assert min(astuple(cost)) > 0


def test_the_ratio_is_that_of_steps_and_the_passes_beside_them() -> None:
    cost = bench.Cost.of([99.0, 1.0, 20.0, 300.0], [1.0, 2.0, 10.0, 100.0])
    assert cost == bench.Cost(own=20.0, target=10.0, ratio=2.0)
    assert bench.Cost.of([9.0, 1.0, 8.0], [9.0, 1.0, 2.0]).ratio == 2.5  # and not 4.5 / 1.5
