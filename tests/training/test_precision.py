"""A head in single precision learns from a target in any other, as hubs have them in bfloat16, and drafts for it."""

import pytest
import torch

from specdec import Decoder, Sampling, Stop, Target
from specdec.bench.training_memory import texts
from specdec.policies import Dynamic
from specdec.training import Progress, Teacher, load_method
from tests.toys import VOCAB, build

HEADS = pytest.mark.parametrize(
    ("name", "options"),
    [("moa", {}), ("moa", {"tli": 1}), ("moa", {"lsa": False}), ("eagle", {}), ("eagle3", {})],
)
PRECISIONS = pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16, torch.float64])


@HEADS
@PRECISIONS
def test_learns_as_from_a_target_of_its_own_precision(
    name: str, options: dict[str, int], precision: torch.dtype
) -> None:
    model, batch, losses = build("llama").float(), texts(VOCAB, 24), []
    for dtype in (torch.float32, precision):
        torch.manual_seed(0)
        method = load_method(name, model.to(dtype), **options)
        loss = method(Teacher(model, method.needs).read(batch), Progress(0.0, 1.0))["loss"]
        loss.backward()
        losses.append(loss.item())
        assert all(weight.grad.isfinite().all() for weight in method.parameters() if weight.grad is not None)
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


@HEADS
@PRECISIONS
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_drafts_for_it(name: str, options: dict[str, int], precision: torch.dtype, temperature: float) -> None:
    model = build("llama").to(precision)
    decoder = Decoder(load_method(name, model, **options).drafter(), Target(model), Dynamic(3, 3, 8))
    said = decoder.generate([[1, 2, 3, 4], [5, 6, 7]], Sampling(temperature, seed=1), Stop(8, tokens=()))
    assert [len(row) for row in said.tokens] == [8, 8]
    assert decoder.metrics.sequences[0].drafted > 0
