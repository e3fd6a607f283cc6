"""How heads are optimised, each by its own recipe and apart from the others."""

from collections.abc import Callable, Mapping
from functools import partial
from math import inf

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from specdec.training.method import TrainingMethod

Methods = Mapping[str, TrainingMethod]


def make_optimizer(methods: Methods) -> AdamW:
    """Make AdamW with a group for each head; schedules give the rates, of which its own is 1."""
    recipes = ((method, method.recipe) for method in methods.values())
    groups = [
        {"params": trained(method), "betas": recipe.betas, "weight_decay": recipe.weight_decay}
        for method, recipe in recipes
    ]
    return AdamW(groups, lr=1.0)


def make_scheduler(methods: Methods, optimizer: Optimizer, epoch_steps: int, steps: int) -> LambdaLR:
    """Follow each head's schedule."""
    rates: list[Callable[[int], float]] = [
        partial(method.recipe.schedule.rate, epoch_steps=epoch_steps, steps=steps) for method in methods.values()
    ]
    return LambdaLR(optimizer, rates if len(rates) > 1 else rates[0])


def clip_norms(methods: Methods, accelerator: Accelerator) -> dict[str, Tensor]:
    """Bound the norm of each head's gradients as its recipe says, and give what they were."""
    accelerator.unscale_gradients()
    return {name: clip_grad_norm_(trained(method), method.recipe.clip or inf) for name, method in methods.items()}


def clip_values(methods: Methods) -> None:
    """Bound each gradient of the heads whose recipe says so; they must not be scaled."""
    for method in methods.values():
        if method.recipe.clip_value:
            clip_grad_value_(trained(method), method.recipe.clip_value)


def trained(method: TrainingMethod) -> list[torch.nn.Parameter]:
    """List the parameters that are trained."""
    return [parameter for parameter in method.parameters() if parameter.requires_grad]
