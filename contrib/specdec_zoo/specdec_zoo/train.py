"""Training one model with the Trainer of transformers."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from specdec.training import MuonAdamW
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast, Trainer, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from specdec_zoo import shapes
from specdec_zoo.dataset import Blocks
from specdec_zoo.schedule import Clock, rate
from specdec_zoo.workspace import begin


@dataclass(frozen=True)
class Plan:
    """How long to train, and on how much at once."""

    name: str
    size: str
    steps: int
    stage: str = "likelihood"
    minutes: float | None = None
    block: int = 512
    half_block_share: float = 0.6
    batch: int = 4
    learning_rate: float = 4e-3
    matrix_learning_rate: float = 0.02
    warmup: int = 40
    save_every: int = 250
    log_every: int = 25
    seed: int = 0


class ZooTrainer(Trainer):
    """The Trainer with the zoo's schedule, of the learning rate and of the context length."""

    def __init__(self, plan: Plan, clock: Clock, **kwargs: Any) -> None:
        super().__init__(callbacks=[clock], **kwargs)
        self.plan = plan
        self.clock = clock

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in self.accelerator.unwrap_model(model or self.model).named_parameters():
            is_matrix = parameter.ndim == 2 and "embed" not in name
            (matrices if is_matrix else others).append(parameter)
        groups = [
            {"params": matrices, "muon": True, "lr": self.plan.matrix_learning_rate, "weight_decay": 0.05},
            {"params": others, "muon": False, "lr": self.plan.learning_rate, "weight_decay": 0.0},
        ]
        optimizer: torch.optim.Optimizer = self.optimizer or MuonAdamW(groups, betas=(0.9, 0.95))
        self.optimizer = optimizer
        return optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> LambdaLR:
        warmup = int(self.args.warmup_steps)

        def factor(step: int) -> float:
            return rate(step, self.clock.progress(step, num_training_steps), warmup)

        self.lr_scheduler = LambdaLR(optimizer or self.create_optimizer(), factor)
        return self.lr_scheduler

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any) -> torch.Tensor:
        if self.clock.progress(self.state.global_step, self.state.max_steps) < self.plan.half_block_share:
            # (batch, block) -> (2 batch, block / 2): cheaper attention while the model is still crude
            inputs = {key: value.view(-1, value.shape[1] // 2) for key, value in inputs.items()}
        return super().training_step(model, inputs, *args)


def train(plan: Plan, tokenizer: PreTrainedTokenizerFast, data: Path, folder: Path) -> ZooTrainer:
    """Trains in `folder`, from its last checkpoint where it holds one."""
    set_seed(plan.seed)
    config = shapes.config(plan.name, plan.size, len(tokenizer), tokenizer.eos_token_id)
    return run(ZooTrainer, LlamaForCausalLM(config), plan, data, folder)


def run(
    trainer_class: type[ZooTrainer], model: LlamaForCausalLM, plan: Plan, data: Path, folder: Path
) -> ZooTrainer:
    begin(folder, asdict(plan))
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    trainer = trainer_class(
        plan=plan,
        clock=Clock(folder, plan.minutes),
        model=model,
        args=_arguments(plan, folder),
        train_dataset=Blocks(data / "train.bin", plan.block),
        eval_dataset=Blocks(data / "held_out.bin", plan.block, limit=64),
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(folder)))
    return trainer


def _arguments(plan: Plan, folder: Path) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=plan.steps,
        per_device_train_batch_size=plan.batch,
        per_device_eval_batch_size=plan.batch,
        learning_rate=plan.learning_rate,
        warmup_steps=plan.warmup,
        max_grad_norm=1.0,
        bf16=torch.cuda.is_available(),
        seed=plan.seed,
        save_steps=plan.save_every,
        save_total_limit=2,
        eval_strategy="steps",
        eval_steps=plan.save_every,
        logging_steps=plan.log_every,
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to=[],
        disable_tqdm=True,
    )
