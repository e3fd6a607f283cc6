"""Heads draft wherever their target reads: beyond the positions that it was first trained for too."""

from typing import Any

import pytest

from specdec import Decoder, Drafter, Stop, Target
from specdec.drafters import NoDrafter
from tests.specdec_eagle.heads import drafter as eagle
from tests.specdec_moa.heads import drafter as moa
from tests.toys import build


@pytest.mark.parametrize("scaling", ["yarn", "linear"])
@pytest.mark.parametrize("head", [lambda model: eagle("eagle", model), lambda model: eagle("eagle3", model), moa])
def test_scaled_positions(head: Any, scaling: str) -> None:
    rope = {"rope_type": scaling, "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 24}
    if scaling == "linear":
        del rope["original_max_position_embeddings"]
    model = build("llama", num_hidden_layers=4, max_position_embeddings=24, rope_parameters=rope)
    target, drafter, stop = Target(model), head(model), Stop(40, tokens=())
    assert isinstance(drafter, Drafter)

    plain = Decoder(NoDrafter(), target).generate([1, 2, 3], stop=stop).tokens
    assert Decoder(drafter, target).generate([1, 2, 3], stop=stop).tokens == plain
