from pathlib import Path

import pytest
from transformers import LlamaForCausalLM, PreTrainedModel

from specdec import Target

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden_model() -> PreTrainedModel:
    return LlamaForCausalLM.from_pretrained(GOLDEN / "target").eval().requires_grad_(False)


@pytest.fixture
def golden_target(golden_model: PreTrainedModel) -> Target:
    return Target(golden_model)
