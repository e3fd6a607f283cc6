"""A head in single precision learns from a target in any other, as hubs have them in bfloat16."""

import pytest
import torch

from specdec.bench.training_memory import texts
from specdec.training import Progress, Teacher, load_method
from tests.toys import VOCAB, build


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize(
    ("name", "options"),
    [("moa", {}), ("moa", {"tli": 1}), ("moa", {"lsa": False}), ("eagle", {}), ("eagle3", {})],
)
def test_a_target_of_another_precision(name: str, options: dict[str, int], precision: torch.dtype) -> None:
    model, batch, losses = build("llama").float(), texts(VOCAB, 24), []
    for dtype in (torch.float32, precision):
        torch.manual_seed(0)
        method = load_method(name, model.to(dtype), **options)
        loss = method(Teacher(model, method.needs).read(batch), Progress(0.0, 1.0))["loss"]
        loss.backward()
        losses.append(loss.item())
        assert all(weight.grad.isfinite().all() for weight in method.parameters() if weight.grad is not None)
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
