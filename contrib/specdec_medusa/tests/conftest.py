import pytest
import torch
from specdec_medusa import MedusaMethod, method
from transformers import PreTrainedModel

from specdec.testing import toy_model

torch.set_num_threads(1)


@pytest.fixture(params=[True, False], ids=["own_output", "shared_output"])
def untaught(request: pytest.FixtureRequest) -> MedusaMethod:
    """Three heads for a toy target, with weights that are no longer those of the beginning."""
    torch.manual_seed(1)
    model: PreTrainedModel = toy_model()
    made = method(model, heads=3, own_output=request.param).to(model.dtype)
    for parameter in made.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return made
