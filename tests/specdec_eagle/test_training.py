"""Losses by their formulas, runs of a few steps on tiny models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss
from transformers import TrainerCallback

from specdec import Target, load_drafter
from specdec.errors import OptionError
from specdec.training import Batch, Examples, Progress, Teacher, TeacherBatch, load_method
from specdec.training.dataset import Example
from specdec.training.trainer import HeadTrainer, Plan
from specdec_eagle import Eagle3Model
from specdec_eagle.training import MOA, EagleMethod
from specdec_eagle.training import Options as Options12
from specdec_eagle.training import method as begin
from specdec_eagle.training3 import Eagle3Method
from specdec_eagle.training3 import method as begin3
from specdec_eagle.unrolled import unroll
from tests.specdec_eagle.heads import NAMES, head, target
from tests.toys import VOCAB

STEPS = 6
FAST = {"rate": 3e-3, "warmup": 2, "decay": 100}
USUAL = {"logging_steps": 1, "report_to": "none", "use_cpu": True, "disable_tqdm": True}
START = Progress(0.0, 1.0)


def examples(count: int = 16) -> Examples:
    random = np.random.default_rng(0)
    texts = [random.integers(VOCAB, size=random.integers(8, 20), dtype=np.int32) for _ in range(count)]
    return Examples([Example(text, np.arange(len(text)) >= 3) for text in texts])


class Kill(TrainerCallback):
    """Ends a run as a power cut would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, arguments: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt


def run(name: str, output: Path, steps: int = STEPS, killed: int = 0, **options: Any) -> HeadTrainer:
    torch.manual_seed(3)
    model = target()
    plan = Plan(str(output), epochs=3, batch=4, max_steps=steps, save_steps=2, options=tuple(USUAL.items()))
    trainer = HeadTrainer(load_method(name, model, **FAST, **options).to(model.dtype), model, examples(), plan)
    if killed:
        trainer.add_callback(Kill(killed))
    trainer.run()
    return trainer


def losses(trainer: HeadTrainer) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize(("name", "options"), [("eagle", {}), ("eagle3", {"draft_vocab": 30}), ("eagle3", {})])
def test_learns_and_saves(name: str, options: dict[str, int], tmp_path: Path) -> None:
    trainer = run(name, tmp_path, steps=20, **options)
    assert np.mean(losses(trainer)[-4:]) < np.mean(losses(trainer)[:4])
    drafter: Any = load_drafter(name, tmp_path, Target(target()))
    for key, tensor in trainer.method.head.state_dict().items():
        assert torch.equal(drafter.model.state_dict()[key].float(), tensor.float())
    assert ("d2t" in drafter.model.state_dict()) == bool(options)


@pytest.mark.parametrize("name", NAMES)
def test_continues_to_the_same_losses(name: str, tmp_path: Path) -> None:
    whole = run(name, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(name, tmp_path / "killed", killed=3)
    again = run(name, tmp_path / "killed")
    assert losses(again) == losses(whole)


def taught(method: Any, rows: slice = slice(None)) -> TeacherBatch:
    tokens = torch.randint(VOCAB, (3, 9), generator=torch.Generator().manual_seed(1))
    real = torch.arange(9) < torch.tensor([9, 6, 4])[:, None]
    response = real & (torch.arange(9) >= 2)
    batch = Batch(tokens[rows], real[rows], response[rows], torch.arange(3)[rows])
    return Teacher(target(), method.needs).read(batch)


def test_loss_of_eagle() -> None:
    """As published: pair i of feature i and token i + 1, if token i is of an answer, learns feature i + 1."""
    method: EagleMethod = begin(target(), noise=0.0).to(torch.float64)
    read = taught(method)
    found, total, count = method(read, START), torch.zeros(2, dtype=torch.float64), 0
    for row, pair in (read.texts.response[:, :-1] & read.texts.real[:, 1:]).nonzero().tolist():
        embedded = target().get_input_embeddings()(read.texts.tokens[row, 1 : pair + 2])
        given = method.head(embedded[None], read.last[row, None, : pair + 1], torch.arange(pair + 1)[None])[0, -1]
        truth = read.last[row, pair + 1]
        law, said = (target().lm_head(states) for states in (truth, given))
        total += torch.stack([-(law.softmax(-1) * said.log_softmax(-1)).sum(), smooth_l1_loss(given, truth)]).detach()
        count += 1
    torch.testing.assert_close(found["vocabulary"].double(), total[0] / count, rtol=1e-4, atol=0)
    torch.testing.assert_close(found["feature"].double(), total[1] / count, rtol=1e-4, atol=0)
    torch.testing.assert_close(found["loss"], 0.1 * found["vocabulary"] + found["feature"])


@pytest.mark.parametrize("steps", [1, 3, 12])
def test_loss_of_eagle3(steps: int) -> None:
    """Step s at pair i learns what the target says after token i + 1 + s, where that is in the draft vocabulary."""
    method = Eagle3Method(head("eagle3", target()), *begin_parts(), begin3(target(), steps=steps).options)
    read = taught(method)
    batch, made = read.texts, method.head
    embedded = target().get_input_embeddings()(batch.tokens[:, 1:])
    given = unroll(made, embedded, made.mix(read.features.hidden[:, :-1]), batch.positions[:, :-1], steps)
    sums, ids = torch.zeros(steps, dtype=torch.float64), made.tokens()
    for step, states in enumerate(given):
        for row, pair in np.ndindex(3, 8):
            at = pair + 1 + step  # whose feature is predicted
            if at > 8 or not batch.real[row, at] or not batch.response[row, at - 1]:
                continue
            law = target().lm_head(read.last[row, at])
            if int(law.argmax()) in ids:
                said = made.lm_head(made.norm(states[row, pair]))
                sums[step] -= (law[ids].softmax(-1) * said.log_softmax(-1)).sum()
    found = method(read, START)
    for step in range(steps):
        torch.testing.assert_close(found[f"step_{step}"], sums[step] / batch.real.sum())
    torch.testing.assert_close(found["loss"], (sums * 0.8 ** torch.arange(steps)).sum() / batch.real.sum())


def begin_parts() -> tuple[Any]:
    return (begin3(target()).parts,)


@pytest.mark.parametrize("options", [{}, {"per_length": False, "noisy_embeddings": True}])
def test_noise_belongs_to_the_text(options: dict[str, bool]) -> None:
    """It is the same in any batch, another in the next pass, and as wide as published."""
    method: EagleMethod = begin(target(), **options).to(torch.float64)
    seen: list[tuple[Tensor, Tensor]] = []
    forward = method.head.forward
    method.head.forward = lambda *given: (seen.append(given[:2]), forward(*given))[1]
    for rows, epoch in ((slice(None), 0.0), (slice(1, 2), 0.5), (slice(1, 2), 1.0)):
        method(taught(method, rows), Progress(epoch, 2.0))
    read = taught(method)
    clean = target().get_input_embeddings()(read.texts.tokens[:, 1:]), read.last[:, :-1]
    for part, disturbed in enumerate((bool(options), True)):
        torch.testing.assert_close(seen[0][part][1], seen[1][part][0])
        assert torch.equal(seen[1][part], seen[2][part]) != disturbed
        noise = seen[0][part] - clean[part]
        scale = torch.tensor([0.1] * 3 if options else [0.1 * 512 / length for length in (9, 6, 4)]) * disturbed
        widest = noise.abs().amax((1, 2))
        assert (widest <= scale).all()
        assert (widest >= 0.97 * scale).all()


def test_begins_with_the_targets_head() -> None:
    """Then the features of the target itself say what it says."""
    method = begin3(target(), draft_vocab=20, copied=True).to(torch.float64)
    method.prepare(examples())
    before = torch.randn(4, 32, dtype=torch.float64)
    ids = method.head.tokens()
    said = method.head.score(before, method.head.lm_head)
    torch.testing.assert_close(said, target().lm_head(target().model.norm(before))[:, ids])


def test_recipes() -> None:
    recipe = begin(target()).recipe
    assert (recipe.clip, recipe.clip_value, recipe.batch, recipe.epochs) == (0.0, 0.5, 4, 20)
    assert recipe.schedule.rate(2000, 100, 800_000) == 3e-5
    assert recipe.schedule.rate(800_000, 100, 800_000) == 0
    assert begin3(target()).recipe.clip == 0.5
    assert MOA.recipe.schedule.rate(50, 250, 1000) == 6e-4
    assert MOA.recipe.schedule.rate(250, 250, 1000) == pytest.approx(3e-5)
    assert isinstance(begin(target(), input_layernorm=True).head.layer.input_layernorm, torch.nn.Module)
    assert Options12().noise == 0.2


@pytest.mark.parametrize(("kind", "option"), [("eagle3", {"steps": 0}), ("eagle", {"loudness": 1})])
def test_options_that_mean_nothing(kind: str, option: dict[str, int]) -> None:
    with pytest.raises(OptionError):
        load_method(kind, target(), **option)


@pytest.mark.parametrize("layers", ["a", "2+x", "2,3", "1++2"])
def test_layers_are_numbers(layers: str) -> None:
    with pytest.raises(OptionError, match="expected layers as 2\\+6\\+9, got ") as refused:
        load_method("eagle3", target(), layers=layers)
    assert str(refused.value).endswith(repr(layers))


def test_features_of_shallow_and_deep_targets() -> None:
    from specdec_eagle.config import feature_layers

    assert feature_layers(32) == [2, 16, 29]
    assert feature_layers(7) == [2, 3, 4]
    for depth in range(1, 40):
        layers = feature_layers(depth)
        assert layers == sorted(set(layers))
        assert 0 <= layers[0] <= layers[-1] <= depth
        assert len(layers) == min(3, depth + 1)


def test_head_that_has_no_part_of_the_vocabulary() -> None:
    made: Eagle3Model = begin3(target()).head
    assert not made.reduced
    assert made.tokens().tolist() == list(range(VOCAB))
