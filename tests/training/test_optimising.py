"""How heads are optimised: groups, rates, and Muon against torch's own."""

from pathlib import Path

import pytest
import torch
from torch import nn

from specdec.training import load_method, shorten
from specdec.training.muon import MuonAdamW, orthogonal
from specdec.training.optimising import make_optimizer, make_scheduler, rates_of
from specdec.training.recipe import MATRICES, RATE
from specdec.training.trainer import HeadTrainer
from tests.specdec_moa.heads import target
from tests.training.test_trainer import Kill, examples, losses, plan


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("shape", [(2, 8, 24), (2, 24, 8)])
def test_orthogonal_flattens_the_spectrum(shape: tuple[int, int, int]) -> None:
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape, generator=generator())))
    assert values.min() > 0.6
    assert values.max() < 1.3


@pytest.mark.parametrize("shape", [(8, 24), (24, 8)])
def test_matrices_are_stepped_as_by_torch_in_half_precision(shape: tuple[int, int]) -> None:
    start, gradients = torch.randn(shape, generator=generator()), torch.randn(4, *shape, generator=generator())
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    steppers = (
        MuonAdamW([{"params": [ours], "muon": True, "lr": 0.1, "weight_decay": 0.05}]),
        torch.optim.Muon([theirs], lr=0.1, weight_decay=0.05, momentum=0.95),
    )
    for gradient in gradients:
        for parameter, stepper in zip((ours, theirs), steppers, strict=True):
            parameter.grad = gradient.clone()
            stepper.step()
    moved, expected = ours.detach() - start, theirs.detach() - start
    assert torch.cosine_similarity(moved.flatten(), expected.flatten(), 0) > 0.999
    assert float(moved.norm() / expected.norm()) == pytest.approx(1, abs=0.02)


def test_a_group_that_is_not_marked_is_stepped_by_adamw() -> None:
    gradient = torch.randn(3, 5, generator=generator())
    ours, theirs = nn.Parameter(torch.ones(3, 5)), nn.Parameter(torch.ones(3, 5))
    matrix = nn.Parameter(torch.ones(2, 2))
    steppers = (
        MuonAdamW([{"params": [ours], "muon": False}, {"params": [matrix], "muon": True}], lr=0.1),
        torch.optim.AdamW([theirs], lr=0.1),
    )
    for _ in range(3):
        ours.grad, theirs.grad, matrix.grad = gradient, gradient, torch.ones(2, 2)
        for stepper in steppers:
            stepper.step()
    assert torch.equal(ours, theirs)


def test_the_short_recipe_steps_matrices_by_muon_and_output_layers_by_adamw() -> None:
    method = load_method("eagle3:layers=1+3,draft_vocab=30", target())
    shorten(method)
    optimizer = make_optimizer({"one": method})
    muon = [parameter for group in optimizer.param_groups if group["muon"] for parameter in group["params"]]
    names = {id(parameter): name for name, parameter in method.head.named_parameters()}
    stepped = {names[id(parameter)] for parameter in muon}
    assert stepped == {name for name, each in method.head.named_parameters() if each.ndim == 2} - {"lm_head.weight"}

    scheduler = make_scheduler({"one": method}, optimizer, epoch_steps=50, steps=100)
    for _ in range(10):  # a tenth of the run
        optimizer.step()
        scheduler.step()
    assert rates_of(scheduler) == {"one": pytest.approx(RATE)}
    assert max(scheduler.get_last_lr()) == pytest.approx(MATRICES)
    for _ in range(90):
        optimizer.step()
        scheduler.step()
    assert rates_of(scheduler) == {"one": pytest.approx(RATE / 20)}


def trainer(output: Path, *, short: bool = True, steps: int = 24) -> HeadTrainer:
    torch.manual_seed(3)
    method = load_method("moa", target()).to(target().dtype)
    if short:
        shorten(method)
    return HeadTrainer(method, target(), examples(), plan(output, max_steps=steps))


def test_the_short_recipe_learns_faster(tmp_path: Path) -> None:
    reached = {}
    for short in (False, True):
        training = trainer(tmp_path / str(short), short=short)
        training.run()
        reached[short] = sum(losses(training)[-4:])
    assert reached[True] < 0.98 * reached[False]


def test_a_short_run_that_is_killed_continues_to_the_same_weights(tmp_path: Path) -> None:
    whole, killed, again = (trainer(tmp_path / name, steps=5) for name in ("whole", "cut", "cut"))
    killed.add_callback(Kill(3))
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    for training in (whole, again):
        training.run()
    assert losses(again) == losses(whole)
    for name, tensor in whole.method.head.state_dict().items():
        assert torch.equal(again.method.head.state_dict()[name], tensor)
