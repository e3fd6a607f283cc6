"""Runs of a few steps on tiny models."""

import math
import re
import shutil
import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from transformers import TrainerCallback

from specdec import Target
from specdec.errors import OptionError
from specdec.training import Examples, Schedule
from specdec.training.dataset import Example
from specdec.training.trainer import HeadTrainer, Plan
from specdec_moa.plugin import moa
from specdec_moa.training import MoAMethod, method
from tests.specdec_moa.heads import target
from tests.toys import VOCAB

STEPS = 6
BLOCKS = MoAMethod._blocks
USUAL = {"logging_steps": 1, "report_to": "none", "use_cpu": True, "disable_tqdm": True}


def examples(count: int = 16) -> Examples:
    random = np.random.default_rng(0)
    texts = [random.integers(VOCAB, size=random.integers(8, 20), dtype=np.int32) for _ in range(count)]
    return Examples([Example(text, np.arange(len(text)) >= 3) for text in texts])


def plan(output: Path, **options: Any) -> Plan:
    fields = {key: options.pop(key) for key in list(options) if key in Plan.__annotations__}
    usual = {"epochs": 3, "batch": 4, "max_steps": STEPS, "save_steps": 2}
    return Plan(str(output), **{**usual, **fields}, options=tuple({**USUAL, **options}.items()))


def run(
    output: Path,
    tli: int = 1,
    prompts: Any = (),
    count: int = 16,
    killed: int | None = None,
    rate: float = 6e-4,
    **options: Any,
) -> HeadTrainer:
    torch.manual_seed(3)
    model = target()
    head = method(model, tli=tli, rate=rate).to(model.dtype)
    trainer = HeadTrainer(head, model, examples(count), plan(output, **options), prompts)
    if killed is not None:
        trainer.add_callback(Kill(killed))
    trainer.run()
    return trainer


def losses(trainer: HeadTrainer) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_learns_and_saves(tmp_path: Path) -> None:
    trainer = run(tmp_path, max_steps=32, rate=6e-3, prompts=[[1, 2, 3]], eval_steps=16, eval_tokens=6)
    assert sum(losses(trainer)[-4:]) < 0.97 * sum(losses(trainer)[:4])  # a pass over the data each
    parts = trainer.state.log_history[0]
    assert parts["loss"] == pytest.approx(
        0.1 * parts["vocabulary"] + 0.5 * (parts["feature"] + parts["earlier_feature"]), abs=1e-3
    )
    taus = [entry["eval_acceptance_length"] for entry in trainer.state.log_history if "eval_acceptance_length" in entry]
    assert len(taus) == 2
    assert all(tau >= 1 for tau in taus)
    assert len(moa(str(tmp_path), Target(target())).parts.layers) == 1


def test_a_run_for_another_target_is_not_continued(tmp_path: Path) -> None:
    run(tmp_path, max_steps=2)
    other = target.__wrapped__()  # not the one that tests share
    weight = other.model.layers[0].mlp.up_proj.weight
    weight.data = 2 * weight.data
    for model, texts, message in ((other, 16, "expected target '"), (target(), 12, "expected data '")):
        head = method(model, tli=1)
        with pytest.raises(OptionError, match=message):
            HeadTrainer(head, model, examples(texts), plan(tmp_path, max_steps=4)).run()
    again = plan(tmp_path, max_steps=4, resume=False)
    trainer = HeadTrainer(method(other, tli=1).to(other.dtype), other, examples(), again)
    trainer.run()
    assert len(losses(trainer)) == 4


class Kill(TrainerCallback):
    """Ends a run as a power cut would, in the middle of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, arguments: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.fixture(scope="module", params=[1, 2], ids=["each batch", "every second batch"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HeadTrainer:
    """A run that nothing disturbed, with a step of the optimizer after so many batches."""
    return run(tmp_path_factory.mktemp("whole"), gradient_accumulation_steps=request.param)


@pytest.mark.parametrize("killed", [1, 3, 5])
def test_goes_on_to_the_same_losses(tmp_path: Path, killed: int, whole: HeadTrainer) -> None:
    options = {"gradient_accumulation_steps": whole.args.gradient_accumulation_steps}
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", killed=killed, **options)
    half_written = tmp_path / "killed" / "checkpoint-99"
    if (tmp_path / "killed" / "checkpoint-2").exists():
        shutil.copytree(tmp_path / "killed" / "checkpoint-2", half_written)
        (half_written / "trainer_state.json").unlink()
    again = run(tmp_path / "killed", **options)
    assert losses(again) == losses(whole)
    for name, tensor in whole.method.head.state_dict().items():
        assert torch.equal(again.method.head.state_dict()[name], tensor)


def test_a_run_that_is_over_is_not_gone_on_with(tmp_path: Path) -> None:
    first = run(tmp_path)
    again = run(tmp_path)
    assert losses(again) == []
    for name, tensor in first.method.head.state_dict().items():
        assert torch.equal(again.method.head.state_dict()[name], tensor)
    assert len(losses(run(tmp_path, max_steps=STEPS + 1))) == STEPS + 1


def test_without_resume_old_checkpoints_go(tmp_path: Path) -> None:
    run(tmp_path, max_steps=4)
    assert sorted(folder.name for folder in tmp_path.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]
    assert len(losses(run(tmp_path, max_steps=3, resume=False))) == 3
    assert sorted(folder.name for folder in tmp_path.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-3"]


@pytest.mark.parametrize(("steps", "every"), [(4, 1), (300, 30), (10_000, 500)])
def test_a_run_of_any_length_has_checkpoints_before_its_end(tmp_path: Path, steps: int, every: int) -> None:
    model = target()
    trainer = HeadTrainer(method(model), model, examples(), plan(tmp_path, max_steps=steps, save_steps=None))
    assert trainer.args.save_steps == every


@pytest.mark.parametrize("eval_steps", [None, STEPS])
def test_all_is_saved_before_the_last_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eval_steps: int | None
) -> None:
    def stopped(*_: Any) -> None:
        assert (tmp_path / f"checkpoint-{STEPS}" / "trainer_state.json").exists()
        assert (tmp_path / "model.safetensors").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(HeadTrainer, "evaluate", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, prompts=[[1, 2, 3]], eval_tokens=4, eval_steps=eval_steps)


@pytest.mark.parametrize("resume", [True, False])
def test_a_folder_of_others_is_not_trained_into(tmp_path: Path, resume: bool) -> None:
    (tmp_path / "checkpoint-3").mkdir()
    weights = tmp_path / "checkpoint-3" / "model.safetensors"
    weights.write_bytes(b"mine")
    with pytest.raises(OptionError, match="has no record of that"):
        run(tmp_path, resume=resume)

    assert weights.read_bytes() == b"mine"


def test_a_file_among_checkpoints_stays(tmp_path: Path) -> None:
    run(tmp_path, max_steps=4)
    (tmp_path / "checkpoint-99").mkdir()
    notes = tmp_path / "checkpoint-99" / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(OptionError, match=r"got .*notes.txt; move it"):
        run(tmp_path, max_steps=3, resume=False)

    assert notes.read_text() == "mine"
    assert (tmp_path / "checkpoint-4").exists()


def test_progress_is_in_passes_over_the_data(tmp_path: Path, monkeypatch: Any) -> None:
    seen = []
    monkeypatch.setattr(
        MoAMethod, "_blocks", lambda self, batch, progress: (seen.append(progress), BLOCKS(self, batch, progress))[1]
    )
    run(tmp_path, max_steps=6)
    assert [progress.epoch for progress in seen] == [step / 4 for step in range(6)]
    assert {progress.epochs for progress in seen} == {6 / 4}


def test_tensorboard_reads_the_losses(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer = run(tmp_path, report_to=["tensorboard"], prompts=[[1, 2, 3]], eval_tokens=4)
    read = EventAccumulator(str(tmp_path / "logs")).Reload()
    for name, key in (("train/loss", "loss"), ("train/vocabulary", "vocabulary"), ("train/feature", "feature")):
        written = [(event.step, event.value) for event in read.Scalars(name)]
        logged = [(entry["step"], entry[key]) for entry in trainer.state.log_history if key in entry]
        assert written == [(step, pytest.approx(value)) for step, value in logged]
        assert len(written) == STEPS
    assert [event.step for event in read.Scalars("eval/acceptance_length")] == [STEPS]


def test_each_gradient_may_be_bounded(tmp_path: Path) -> None:
    class Watch(TrainerCallback):
        largest = 0.0

        def on_optimizer_step(self, arguments: Any, state: Any, control: Any, **options: Any) -> None:
            grads = [p.grad.abs().max() for p in options["model"].parameters() if p.grad is not None]
            self.largest = max(self.largest, float(torch.stack(grads).max()))

    found = []
    for bound in (0.0, 1e-3):
        model, watch = target(), Watch()
        head = method(model).to(model.dtype)
        head.recipe = evolve(head.recipe, clip=0.0, clip_value=bound)
        trainer = HeadTrainer(head, model, examples(), plan(tmp_path / str(bound), max_steps=1))
        trainer.add_callback(watch)
        trainer.run()
        found.append(watch.largest)
    assert found[1] == pytest.approx(1e-3)
    assert found[0] > 2e-3


def test_a_person_reads_lines(tmp_path: Path, capsys: Any) -> None:
    run(tmp_path, disable_tqdm=False, max_steps=2, prompts=[[1, 2, 3]], eval_tokens=4)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "training from the start, 2 steps in all"
    assert re.fullmatch(
        r"step 1, epoch 0.25: loss \S+, norm of the gradient \S+, rate 0, vocabulary \S+, feature .*", lines[1]
    )
    assert re.fullmatch(r"step 2, epoch 0.50: acceptance length of a chain [\d.]+, of a tree [\d.]+", lines[3])
    assert len(lines) == 4


def test_schedule_of_the_released_code() -> None:
    schedule = Schedule(peak=6e-4, base=3e-5, warmup=50)
    rates = [schedule.rate(step, 250, 400) for step in range(400)]
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


def test_blocks_that_hide_nothing_have_nothing_to_teach_the_last_layers():
    model = target()

    with pytest.raises(OptionError, match="block none and strict"):
        method(model, tli=1, block="none")
    method(model, tli=1, block="none", strict=False)


def test_what_wraps_the_head_goes_before_the_processes_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrapper holds their group, which must not end with it."""
    trainer = run(tmp_path)
    wrapper = torch.nn.Sequential(trainer.method)
    wrapper.itself = [wrapper]  # type: ignore[assignment]
    left, seen = weakref.ref(wrapper), []
    trainer.model_wrapped, trainer.accelerator._models = wrapper, [wrapper]
    del wrapper
    monkeypatch.setattr(trainer.accelerator, "end_training", lambda: seen.append(left()))
    trainer.leave()
    assert seen == [None]
