"""Methods that learn together: what each sees of the target, and what one leaves of the others."""

from pathlib import Path

import pytest
import torch

from specdec.errors import OptionError
from specdec.training import Progress, Teacher, Together, TrainingMethod, collate, load_method
from specdec.training.optimising import clip_norms, make_optimizer
from specdec.training.trainer import HeadTrainer
from tests.specdec_moa.heads import target
from tests.training.test_trainer import examples, plan

START = Progress(0.0, 1.0)


def methods() -> dict[str, TrainingMethod]:
    specs = {"moa": "moa:tli=1", "last": "moa:lsa=no", "eagle3": "eagle3:layers=1+3,draft_vocab=30", "eagle": "eagle"}
    made = dict[str, TrainingMethod]()
    for name, spec in specs.items():
        torch.manual_seed(3)
        made[name] = load_method(spec, target()).to(target().dtype)
    return made


def test_each_learns_from_what_it_would_see_alone() -> None:
    made, texts = methods(), collate([examples()[index] for index in range(3)])["batch"]
    together = Together(made)
    losses = together(Teacher(target(), together.needs).read(texts), START)
    for name, method in made.items():
        for part, value in method(Teacher(target(), method.needs).read(texts), START).items():
            assert torch.equal(losses.pop(f"{name}/{part}"), value)
    assert list(losses) == ["loss"]


def test_a_head_that_diverges_harms_no_other(tmp_path: Path) -> None:
    heads = []
    for broken in (False, True):
        made = methods()
        for parameter in made["eagle"].parameters() if broken else ():
            parameter.data.fill_(torch.nan)
        HeadTrainer(Together(made), target(), examples(), plan(tmp_path / str(broken), max_steps=2)).run()
        heads.append(made)
    for name in ("moa", "last", "eagle3"):
        for one, other in zip(heads[0][name].parameters(), heads[1][name].parameters(), strict=True):
            assert torch.equal(one, other)


def test_gradients_are_bounded_apart(tmp_path: Path) -> None:
    made = methods()
    trainer = HeadTrainer(Together(made), target(), examples(), plan(tmp_path, max_steps=1))
    optimizer = make_optimizer(trainer.methods)
    for parameter in trainer.method.parameters():
        parameter.grad = torch.ones_like(parameter)
    norms = clip_norms(trainer.methods, trainer.accelerator)
    for group, (name, method) in zip(optimizer.param_groups, trainer.methods.items(), strict=True):
        bound = method.recipe.clip or norms[name]
        left = torch.stack([parameter.grad.norm() for parameter in group["params"]]).norm()
        assert left == pytest.approx(float(bound), rel=1e-5)
        assert (tuple(group["betas"]), group["weight_decay"]) == (method.recipe.betas, method.recipe.weight_decay)


def test_passes_and_batches_are_the_largest_of_the_recipes(tmp_path: Path) -> None:
    chosen = plan(tmp_path, epochs=None, batch=None)
    arguments = HeadTrainer(Together(methods()), target(), examples(), chosen).args
    assert (arguments.num_train_epochs, arguments.per_device_train_batch_size) == (40, 32)


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(OptionError, match="at least one method to train, got none"):
        Together({})
