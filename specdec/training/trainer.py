"""Training, on transformers' own trainer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, Trainer, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from specdec.errors import OptionError
from specdec.text import Prompt
from specdec.training.dataset import Examples, collate
from specdec.training.evaluate import acceptance
from specdec.training.lesson import Teacher
from specdec.training.method import Method, Progress


@frozen
class Plan:
    """How long and how to train; None leaves it to the method's own recipe.

    `options` go to transformers' `TrainingArguments`: precision, accumulation, logging and all else.
    """

    output: str
    epochs: float | None = None
    max_steps: int = -1
    batch: int | None = None
    save_steps: int = 500
    eval_steps: int | None = None
    eval_tokens: int = 64
    seed: int = 0
    resume: bool = True
    options: tuple[tuple[str, Any], ...] = ()


def train(
    method: Method,
    model: PreTrainedModel,
    examples: Examples,
    plan: Plan,
    prompts: Sequence[Prompt] = (),
    tokenizer: Any = None,
) -> "HeadTrainer":
    """Train a head for a target, and save it in `plan.output`; goes on from the last checkpoint there.

    With `prompts`, the acceptance length on these is measured every `eval_steps` and at the end.
    """
    trainer = HeadTrainer(method, model, examples, plan, prompts, tokenizer)
    trainer.train(resume_from_checkpoint=_last_whole(plan.output) if plan.resume else None)
    if prompts:
        trainer.evaluate()
    if trainer.args.should_save:
        method.save(plan.output)
    return trainer


class HeadTrainer(Trainer):
    """Asks the target for its features in each step, and the method for its loss."""

    def __init__(
        self,
        method: Method,
        model: PreTrainedModel,
        examples: Examples,
        plan: Plan,
        prompts: Sequence[Prompt] = (),
        tokenizer: Any = None,
    ) -> None:
        arguments = _arguments(method, plan, evaluated=bool(prompts))
        super().__init__(
            model=method,
            args=arguments,
            train_dataset=examples,
            eval_dataset=list(prompts) or None,
            data_collator=collate,
        )
        self.method, self.plan, self.prompts, self.tokenizer = method, plan, list(prompts), tokenizer
        self.teacher = Teacher(model.to(arguments.device), method.needs)
        self.optimizer: Any
        self.lr_scheduler: Any
        self.control: Any
        self._parts: dict[str, list[float]] = {}

    def create_optimizer(self, *_: Any) -> torch.optim.Optimizer:
        """Make AdamW as the recipe says."""
        if self.optimizer is None:
            recipe = self.method.recipe
            trained = [parameter for parameter in self.method.parameters() if parameter.requires_grad]
            self.optimizer = torch.optim.AdamW(trained, lr=1.0, betas=recipe.betas, weight_decay=recipe.weight_decay)
        optimizer: torch.optim.Optimizer = self.optimizer
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LambdaLR:
        """Follow the recipe's schedule; the optimiser's own rate is 1."""
        if self.lr_scheduler is None:
            epoch = max(int(num_training_steps / max(self.args.num_train_epochs, 1e-9)), 1)
            schedule = self.method.recipe.schedule
            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, lambda step: schedule.rate(step, epoch))
        scheduler: LambdaLR = self.lr_scheduler
        return scheduler

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        """Have the target read the batch, and the head learn from it."""
        lesson = self.teacher.read(inputs["batch"].to(self.args.device))
        losses: dict[str, Tensor] = model(lesson, Progress(self.state.epoch or 0.0, self.args.num_train_epochs))
        for name, value in losses.items():
            self._parts.setdefault(name, []).append(float(value.detach()))
        return (losses["loss"], losses) if return_outputs else losses["loss"]

    def log(self, logs: dict[str, float], *arguments: Any, **options: Any) -> None:
        """Add the parts of the loss, as means since the last log."""
        if "loss" in logs:
            means = {name: sum(values) / len(values) for name, values in self._parts.items() if name != "loss"}
            logs, self._parts = {**logs, **means}, {}
        super().log(logs, *arguments, **options)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Measure the acceptance length on the held-out prompts."""
        metrics = acceptance(self.method, self.teacher.model, self.prompts, self.tokenizer, self.plan.eval_tokens)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def _arguments(method: Method, plan: Plan, *, evaluated: bool) -> TrainingArguments:
    recipe = method.recipe
    fixed = {
        "output_dir": plan.output,
        "num_train_epochs": recipe.epochs if plan.epochs is None else plan.epochs,
        "max_steps": plan.max_steps,
        "per_device_train_batch_size": recipe.batch if plan.batch is None else plan.batch,
        "max_grad_norm": recipe.clip,
        "save_steps": plan.save_steps,
        "seed": plan.seed,
        "eval_strategy": "steps" if evaluated and plan.eval_steps else "no",
        "eval_steps": plan.eval_steps,
        "remove_unused_columns": False,
    }
    usual = {"logging_steps": 10, "report_to": ["tensorboard"], "dataloader_pin_memory": torch.cuda.is_available()}
    options = dict(plan.options)
    if clash := sorted(fixed.keys() & options.keys()):
        raise OptionError(f"expected {clash[0]} to be given by the plan's own field, got it among the options")
    return TrainingArguments(**fixed, **{**usual, **options})


def _last_whole(output: str) -> str | None:
    """Find the newest checkpoint that was written to its end: the trainer's state comes last."""
    found = [
        folder
        for folder in Path(output).glob(f"{PREFIX_CHECKPOINT_DIR}-*")
        if (folder / "trainer_state.json").exists() and folder.name.rpartition("-")[2].isdecimal()
    ]
    return str(max(found, key=lambda folder: int(folder.name.rpartition("-")[2]))) if found else None
