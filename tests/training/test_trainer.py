"""Runs of a few steps on tiny models."""

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from specdec import Target
from specdec.errors import OptionError
from specdec.training import Examples, Schedule
from specdec.training.dataset import Example
from specdec.training.trainer import HeadTrainer, Plan, train
from specdec_moa.plugin import moa
from specdec_moa.training import method
from tests.specdec_moa.heads import target
from tests.toys import VOCAB

STEPS = 6
USUAL = {"logging_steps": 1, "report_to": "none", "use_cpu": True, "disable_tqdm": True}


def examples(count: int = 16) -> Examples:
    random = np.random.default_rng(0)
    texts = [random.integers(VOCAB, size=random.integers(8, 20), dtype=np.int32) for _ in range(count)]
    return Examples([Example(text, np.arange(len(text)) >= 3) for text in texts])


def plan(output: Path, **options: Any) -> Plan:
    fields = {key: options.pop(key) for key in list(options) if key in Plan.__annotations__}
    usual = {"epochs": 3, "batch": 4, "max_steps": STEPS, "save_steps": 2}
    return Plan(str(output), **{**usual, **fields}, options=tuple({**USUAL, **options}.items()))


def run(output: Path, tli: int = 1, prompts: Any = (), count: int = 16, **options: Any) -> HeadTrainer:
    torch.manual_seed(3)
    model = target()
    return train(method(model, tli=tli).to(model.dtype), model, examples(count), plan(output, **options), prompts)


def losses(trainer: HeadTrainer) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_learns_and_saves(tmp_path: Path) -> None:
    trainer = run(tmp_path, max_steps=30, prompts=[[1, 2, 3]], eval_steps=15, eval_tokens=6)
    assert losses(trainer)[-1] < losses(trainer)[0]
    parts = trainer.state.log_history[0]
    assert parts["loss"] == pytest.approx(
        0.1 * parts["vocabulary"] + 0.5 * (parts["feature"] + parts["earlier_feature"]), abs=1e-3
    )
    taus = [entry["eval_acceptance_length"] for entry in trainer.state.log_history if "eval_acceptance_length" in entry]
    assert len(taus) == 3
    assert all(tau >= 1 for tau in taus)
    assert len(moa(str(tmp_path), Target(target())).parts.layers) == 1


class Kill(TrainerCallback):
    """Ends a run as a power cut would, in the middle of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, arguments: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("killed", [1, 3, 5])
@pytest.mark.parametrize("accumulated", [1, 2])
def test_goes_on_to_the_same_losses(tmp_path: Path, killed: int, accumulated: int, monkeypatch: Any) -> None:
    options = {"gradient_accumulation_steps": accumulated}
    whole = run(tmp_path / "whole", **options)
    torch.manual_seed(3)
    begin = HeadTrainer.__init__

    def doomed(self: HeadTrainer, *given: Any, **named: Any) -> None:
        begin(self, *given, **named)
        self.add_callback(Kill(killed))

    with monkeypatch.context() as patch:
        patch.setattr(HeadTrainer, "__init__", doomed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "killed", **options)
    half_written = tmp_path / "killed" / "checkpoint-99"
    if (tmp_path / "killed" / "checkpoint-2").exists():
        shutil.copytree(tmp_path / "killed" / "checkpoint-2", half_written)
        (half_written / "trainer_state.json").unlink()
    again = run(tmp_path / "killed", **options)
    assert losses(again) == losses(whole)
    for name, tensor in whole.method.head.state_dict().items():
        assert torch.equal(again.method.head.state_dict()[name], tensor)


def test_schedule_of_the_released_code() -> None:
    schedule = Schedule(peak=6e-4, base=3e-5, warmup=50)
    rates = [schedule.rate(step, 250) for step in range(400)]
    assert rates[0] == 0
    assert rates[50] == max(rates) == 6e-4
    assert rates[150] == pytest.approx((6e-4 + 3e-5) / 2)
    assert all(math.isclose(rate, 3e-5) for rate in rates[250:])


def test_trainer_follows_the_recipe(tmp_path: Path) -> None:
    trainer = run(tmp_path, max_steps=3)
    rates = [entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry]
    assert rates == [pytest.approx(6e-4 * step / 50) for step in range(3)]
    group = trainer.optimizer.param_groups[0]
    assert (tuple(group["betas"]), group["weight_decay"]) == ((0.9, 0.95), 0.0)
    assert trainer.args.max_grad_norm == 1.0


def test_options_that_clash(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="output_dir"):
        run(tmp_path, output_dir="elsewhere")
