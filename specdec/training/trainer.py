"""Training, on transformers' own trainer."""

import gc
from collections.abc import Mapping, Sequence
from math import ceil, inf
from pathlib import Path
from typing import Any

import torch
from attrs import field, frozen
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, PrinterCallback, ProgressCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.integrations import TensorBoardCallback

from specdec.bounds import bounds
from specdec.errors import OptionError
from specdec.outputs import Output, saving
from specdec.target.weights import weights_hash
from specdec.text import Prompt
from specdec.training import checkpoints
from specdec.training.dataset import Examples, collate
from specdec.training.evaluate import acceptance, check_room
from specdec.training.method import Progress, TrainingMethod
from specdec.training.optimising import clip_norms, clip_values, make_optimizer, make_scheduler, rates_of
from specdec.training.order import ByLength
from specdec.training.report import Report
from specdec.training.teacher import Teacher
from specdec.training.together import Together, by_name

__all__ = ["HeadTrainer", "Plan"]

LOGS = "logs"
"""Folder in the output that TensorBoard reads; a run that is continued adds to it."""
SAVE_STEPS, SAVES = 500, 10
"""Where it is not said, a checkpoint is written ten times in a run, and every 500 steps of a long one."""


@frozen
class Plan:
    """How long and how to train; None leaves it to the method's own recipe, to the largest number if there are several.

    Checkpoints are written every `save_steps`, by default a tenth of the run and at most 500, and at the end.
    `options` go to transformers' `TrainingArguments`: precision, accumulation, logging and all else. A run is continued
    only with the same `settings`, data and target.
    """

    output: str
    epochs: float | None = field(default=None, validator=bounds(0, above=True))
    max_steps: int = field(default=-1, validator=bounds(-1))
    batch: int | None = field(default=None, validator=bounds(1))
    save_steps: int | None = field(default=None, validator=bounds(1))
    eval_steps: int | None = field(default=None, validator=bounds(1))
    eval_tokens: int = field(default=64, validator=bounds(1))
    seed: int = 0
    resume: bool = True
    options: tuple[tuple[str, Any], ...] = ()
    settings: Mapping[str, Any] = field(factory=dict)


class HeadTrainer(Trainer):
    """Asks the target for its features in each step, and the method, or several together, for the loss."""

    def __init__(
        self,
        method: TrainingMethod | Together,
        model: PreTrainedModel,
        examples: Examples,
        plan: Plan,
        prompts: Sequence[Prompt] = (),
        tokenizer: Any = None,
    ) -> None:
        """Prepare to train a head for a target, or several heads together.

        With `prompts`, the acceptance length on these is measured every `eval_steps`, and at the end once all is saved.

        Raises:
            OptionError: the answers to these do not fit the target, or the plan's own fields are among its options.
        """
        check_room(model, prompts, tokenizer, plan.eval_tokens)
        method.prepare(examples)
        arguments = _arguments(method, plan, evaluated=bool(prompts))
        super().__init__(
            model=method,
            args=arguments,
            train_dataset=examples,
            eval_dataset=list(prompts) or None,
            data_collator=collate,
        )
        self.method, self.methods = method, by_name(method)
        self.plan, self.prompts, self.tokenizer = plan, list(prompts), tokenizer
        self.teacher = Teacher(model.to(arguments.device), method.needs)
        self.epoch_steps = _epoch_steps(len(examples), arguments)
        if plan.save_steps is None:
            arguments.save_steps = min(SAVE_STEPS, max(self.steps // SAVES, 1))
        self.train_dataset: Examples
        self.optimizer: Any
        self.lr_scheduler: Any
        self.control: Any
        self._parts: dict[str, list[Tensor]] = {}
        self._own: dict[str, float] = {}
        self._report = Report(quiet=arguments.disable_tqdm)
        for callback in (PrinterCallback, ProgressCallback):
            self.remove_callback(callback)
        for own in (_Moments(self), self._report):
            self.add_callback(own)
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, TensorBoardCallback):
                callback.logging_dir = str(Path(plan.output) / LOGS)

    def run(self) -> None:
        """Train, from the last checkpoint in the output if there is one, and save the head there.

        A plan without `resume` removes such checkpoints first.

        Raises:
            OptionError: the run in the output had other settings, data, or another target, and is to be resumed; or
                something is in the output that no run wrote.
        """
        if self.args.should_save:
            self._begin()
        last = checkpoints.last_whole(self.plan.output) if self.plan.resume else None
        over = last is not None and checkpoints.step(last) >= self.steps
        if over:
            self._load_from_checkpoint(last)
            if self.args.should_save:
                self._report.nothing_left(self.steps)
        else:
            try:
                self.train(resume_from_checkpoint=last)
            finally:
                self._report.stop()
        if self.args.should_save:
            with saving(self.plan.output) as folder:
                self.method.save(str(folder))
        if self.prompts and not over:
            self._measure_at_end()

    def _begin(self) -> None:
        """Note what is trained of what; what was trained of other things goes before that is noted."""
        output, examples = self.plan.output, self.train_dataset
        place = Output.of(output, "train", folder=True)
        if not self.plan.resume:
            checkpoints.remove(output)
        of = {"data": examples.fingerprint, "target": weights_hash(self.teacher.model)}
        place.begin({**self.plan.settings, **of}, restart=not self.plan.resume)

    def _measure_at_end(self) -> None:
        """Measure what is saved; the end of training closed TensorBoard's log, which this opens and closes again."""
        self.evaluate()
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, TensorBoardCallback):
                callback.on_train_end(self.args, self.state, self.control)

    def leave(self) -> None:
        """Part from the other processes of the run; nothing can be trained any more.

        What wraps the head for them goes first. If it went last it would take the group of processes along while it
        holds Python's lock, and wait for ever where a thread of the group still waits for that lock.
        """
        self.model_wrapped = self.model
        self.accelerator.free_memory()
        gc.collect()
        self.accelerator.end_training()

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.plan.max_steps if self.plan.max_steps > 0 else ceil(self.args.num_train_epochs * self.epoch_steps)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Read texts of about the same length together, if the options say so."""
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        lengths = [len(example.tokens) for example in self.train_dataset.examples]
        return ByLength(lengths, self.args.train_batch_size, self.args.seed)

    def create_optimizer(self, *_: Any) -> torch.optim.Optimizer:
        """Make AdamW as the recipes say."""
        if self.optimizer is None:
            self.optimizer = make_optimizer(self.methods)
        optimizer: torch.optim.Optimizer = self.optimizer
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LambdaLR:
        """Follow the recipes' schedules; the optimiser's own rate is 1."""
        if self.lr_scheduler is None:
            optimizer = optimizer or self.optimizer
            self.lr_scheduler = make_scheduler(self.methods, optimizer, self.epoch_steps, num_training_steps)
        scheduler: LambdaLR = self.lr_scheduler
        return scheduler

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        """Have the target read the batch, and the head learn from it."""
        batch = self.teacher.read(inputs["batch"].to(self.args.device))
        progress = Progress(self.state.epoch or 0.0, self.steps / self.epoch_steps)
        losses: dict[str, Tensor] = model(batch, progress)
        for name, value in losses.items():
            self._parts.setdefault(name, []).append(value.detach())
        return (losses["loss"], losses) if return_outputs else losses["loss"]

    def _clip_grad_norm(self, model: Any) -> Any:
        """Bound the gradients of several heads apart, so that none changes another's."""
        if not isinstance(self.method, Together):
            return super()._clip_grad_norm(model)
        norms, rates = clip_norms(self.methods, self.accelerator), rates_of(self.lr_scheduler)
        for name, norm in norms.items():
            self._own |= {f"{name}/grad_norm": float(norm), f"{name}/learning_rate": rates[name]}
        return torch.stack([*norms.values()]).norm()

    def log(self, logs: dict[str, float], *arguments: Any, **options: Any) -> None:
        """Add the parts of the loss, as means over processes since the last log, and what each of several heads has."""
        if "loss" in logs:
            means = {name: torch.stack(values).mean() for name, values in self._parts.items() if name != "loss"}
            reduced: Any = self.accelerator.reduce(means, "mean")
            if self._own:
                logs = {name: value for name, value in logs.items() if name not in ("grad_norm", "learning_rate")}
            logs, self._parts = {**logs, **{name: float(value) for name, value in reduced.items()}, **self._own}, {}
        super().log(logs, *arguments, **options)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Measure the acceptance length on the held-out prompts."""
        model, tokens = self.teacher.model, self.plan.eval_tokens
        metrics = dict[str, float]()
        for name, method in self.methods.items():
            measured = acceptance(method, model, self.prompts, self.tokenizer, tokens, self.accelerator)
            metrics |= {f"eval_{name}{'/' if name else ''}{key}": value for key, value in measured.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class _Moments(TrainerCallback):
    """Bounds each gradient by itself before a step, and says what happens after it.

    It logs when saving, so that a run that is continued has its means over the same steps. What is measured after the
    last step waits until that is saved.
    """

    def __init__(self, trainer: HeadTrainer) -> None:
        self._trainer = trainer

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        clip_values(self._trainer.methods)  # which the trainer has unscaled

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        last = state.global_step >= state.max_steps
        control.should_log = control.should_log or control.should_save or last
        control.should_evaluate = control.should_evaluate and not last


def _arguments(method: TrainingMethod | Together, plan: Plan, *, evaluated: bool) -> TrainingArguments:
    recipes = [each.recipe for each in by_name(method).values()]
    fixed = {
        "output_dir": plan.output,
        "num_train_epochs": max(recipe.epochs for recipe in recipes) if plan.epochs is None else plan.epochs,
        "max_steps": plan.max_steps,
        "per_device_train_batch_size": max(recipe.batch for recipe in recipes) if plan.batch is None else plan.batch,
        "max_grad_norm": inf if isinstance(method, Together) else recipes[0].clip,
        "save_steps": plan.save_steps or SAVE_STEPS,
        "seed": plan.seed,
        "eval_strategy": "steps" if evaluated and plan.eval_steps else "no",
        "eval_steps": plan.eval_steps,
        "remove_unused_columns": False,
    }
    usual = {
        "logging_steps": 10,
        "save_total_limit": 2,
        "report_to": ["tensorboard"],
        "dataloader_pin_memory": torch.cuda.is_available(),
        "ddp_find_unused_parameters": False,
        "disable_tqdm": False,
        "use_cpu": not torch.accelerator.is_available(),
    }
    options = dict(plan.options)
    if clash := sorted(fixed.keys() & options.keys()):
        raise OptionError(f"expected {clash[0]} to be given by the plan's own field, got it among the options")
    arguments = TrainingArguments(**fixed, **{**usual, **options})
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several are for several processes; one cannot split a batch
    return arguments


def _epoch_steps(examples: int, arguments: TrainingArguments) -> int:
    """Count the steps of a pass over the data."""
    batches = -(-examples // (int(arguments.per_device_train_batch_size) * int(arguments.world_size)))
    return -(-batches // int(arguments.gradient_accumulation_steps))
