from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedModel

from specdec import Target

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def golden_model() -> PreTrainedModel:
    return LlamaForCausalLM.from_pretrained(GOLDEN / "target").eval().requires_grad_(False)


@pytest.fixture
def golden_target(golden_model: PreTrainedModel) -> Target:
    return Target(golden_model)
