import shutil
from pathlib import Path

import pytest
from transformers import LlamaForCausalLM, PreTrainedModel

from specdec import Target
from tests.specdec_eagle.files import FOLDERS, GOLDEN
from tests.specdec_eagle.heads import NAMES

TARGET = Path(__file__).parent.parent / "specdec_moa" / "golden" / "target"


@pytest.fixture(scope="session")
def golden_model() -> PreTrainedModel:
    return LlamaForCausalLM.from_pretrained(TARGET).eval().requires_grad_(False)


@pytest.fixture
def golden_target(golden_model: PreTrainedModel) -> Target:
    return Target(golden_model)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(name: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / FOLDERS[name], tmp_path / "head"))
