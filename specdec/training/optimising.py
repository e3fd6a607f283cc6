"""How heads are optimised, each by its own recipe and apart from the others."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from math import inf
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from specdec.training.method import TrainingMethod
from specdec.training.muon import MuonAdamW

Methods = Mapping[str, TrainingMethod]


def make_optimizer(methods: Methods) -> MuonAdamW:
    """Make an optimiser with a group for each `head`, and one more for the matrices of those that Muon steps.

    Schedules give the rates, of which AdamW's own is 1.
    """
    return MuonAdamW([group for name, method in methods.items() for group in _groups(name, method)], lr=1.0)


def make_scheduler(methods: Methods, optimizer: Optimizer, epoch_steps: int, steps: int) -> LambdaLR:
    """Follow each head's schedule."""
    schedules = [methods[group["head"]].recipe.schedule for group in optimizer.param_groups]
    rates: list[Callable[[int], float]] = [
        partial(schedule.rate, epoch_steps=epoch_steps, steps=steps) for schedule in schedules
    ]
    return LambdaLR(optimizer, rates)


def rates_of(scheduler: LambdaLR) -> dict[str, float]:
    """Give each head's last learning rate, of AdamW."""
    groups = zip(scheduler.optimizer.param_groups, scheduler.get_last_lr(), strict=True)
    return {group["head"]: float(rate) for group, rate in groups if not group["muon"]}


def clip_norms(methods: Methods, accelerator: Accelerator) -> dict[str, Tensor]:
    """Bound the norm of each head's gradients as its recipe says, and give what they were."""
    accelerator.unscale_gradients()
    return {name: clip_grad_norm_(trained(method), method.recipe.clip or inf) for name, method in methods.items()}


def clip_values(methods: Methods) -> None:
    """Bound each gradient of the heads whose recipe says so; they must not be scaled."""
    for method in methods.values():
        if method.recipe.clip_value:
            clip_grad_value_(trained(method), method.recipe.clip_value)


def trained(method: TrainingMethod) -> list[nn.Parameter]:
    """List the parameters that are trained."""
    return [parameter for parameter in method.parameters() if parameter.requires_grad]


def _groups(head: str, method: TrainingMethod) -> Iterator[dict[str, Any]]:
    """Divide a head's parameters; output layers are no matrices for Muon, for each of their rows is a token's."""
    recipe, config = method.recipe, method.head.config
    usual = {"head": head, "betas": recipe.betas, "weight_decay": recipe.weight_decay}
    tokens = {getattr(config, name, None) for name in ("vocab_size", "draft_vocab_size")}
    matrices, others = list[nn.Parameter](), list[nn.Parameter]()
    for parameter in trained(method):
        stepped = recipe.muon and parameter.ndim == 2 and not tokens & set(parameter.shape)
        (matrices if stepped else others).append(parameter)
    yield {**usual, "params": others, "lr": 1.0, "muon": False}
    if matrices:
        yield {**usual, "params": matrices, "lr": recipe.muon / recipe.schedule.peak, "muon": True}
