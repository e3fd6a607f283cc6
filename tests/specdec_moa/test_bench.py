"""What a head costs is measured on the sizes that were asked for."""

from pathlib import Path

import pytest

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
}


def test_a_trained_heads_sizes_are_taken(tmp_path: Path) -> None:
    model = build("llama")
    MoAModel(MoAConfig.for_target(model.config, **NARROW)).save_pretrained(tmp_path)
    sized = method(model, sizes=bench.sizes_of(str(tmp_path))).head.config
    assert {name: getattr(sized, name) for name in NARROW} == NARROW
    assert bench.sizes_of("") == ""


@pytest.mark.parametrize("tli", [0, 1])
def test_each_pass_is_on_the_clock(tli: int) -> None:
    model = build("llama")
    assert min(bench.decoding(model, tli, "", 8, 4)) > 0
    assert min(bench.training(model, tli, "", 2)) > 0
