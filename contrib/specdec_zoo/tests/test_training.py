"""Training, at a tiny size."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import small_roots
from transformers import AutoModelForCausalLM, AutoTokenizer

from specdec_zoo import corpus, recipe, tokenizer
from specdec_zoo.schedule import rate
from specdec_zoo.train import Plan, ZooTrainer, train
from specdec_zoo.unloop import repeats
from specdec_zoo.workspace import Workspace

PLAN = Plan("target", "tiny", steps=6, block=32, batch=2, save_every=3, log_every=1)


def losses(trainer: ZooTrainer) -> dict[int, float]:
    return {int(entry["step"]): entry["loss"] for entry in trainer.state.log_history if "loss" in entry}


def test_resumed_run_has_the_losses_of_an_uninterrupted_one(workspace: Workspace, tmp_path: Path) -> None:
    bpe = tokenizer.load(workspace.tokenizer)
    whole = train(PLAN, bpe, workspace.data, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole" / "checkpoint-3", tmp_path / "cut" / "checkpoint-3")
    resumed = train(PLAN, bpe, workspace.data, tmp_path / "cut")
    assert losses(resumed) == pytest.approx(losses(whole), rel=1e-6)
    assert sorted(losses(whole)) == [1, 2, 3, 4, 5, 6]


def test_recipe_makes_loadable_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "default_roots", small_roots)
    run: list[Any] = ["--size", "tiny", "--output", str(tmp_path), "--steps", "2", "--block", "32"]
    for stage in ("tokenizer", "prompts", "target", "draft"):
        recipe.main([*run, "--stage", stage, "--unloop-steps", "1"])
    recipe.main([*run, "--stage", "export", "--held-out-blocks", "4"])
    for name in ("target", "draft"):
        folder = tmp_path / "models" / name
        ids = AutoTokenizer.from_pretrained(folder)("def f(", return_tensors="pt").input_ids
        logits = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(ids).logits
        assert torch.isfinite(logits).all()
        assert "| unlikelihood | 1 |" in (folder / "README.md").read_text()


def test_nothing_of_others_is_overwritten(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("the user's")
    for output in (tmp_path / "mine", tmp_path / "mine" / "notes.txt"):
        with pytest.raises(SystemExit, match="expected a"):
            recipe.main(["--stage", "tokenizer", "--output", str(output)])
    bpe = tokenizer.load(workspace.tokenizer)
    train(replace(PLAN, steps=1), bpe, workspace.data, tmp_path / "run")
    with pytest.raises(SystemExit, match=r"expected block 32 as in the run in .*, got 16"):
        train(replace(PLAN, block=16), bpe, workspace.data, tmp_path / "run")
    train(replace(PLAN, steps=2), bpe, workspace.data, tmp_path / "run")


@pytest.mark.parametrize("stage", ["prompts", "target", "draft", "head"])
def test_stages_say_what_comes_first(tmp_path: Path, stage: str) -> None:
    with pytest.raises(SystemExit, match=r"expected .*data.* not there; run --stage tokenizer first"):
        recipe.main(["--stage", stage, "--output", str(tmp_path / "new")])


def test_budget_in_minutes_ends_a_run(workspace: Workspace, tmp_path: Path) -> None:
    plan = Plan("draft", "tiny", steps=10**9, minutes=0.02, block=32, batch=2)
    trainer = train(plan, tokenizer.load(workspace.tokenizer), workspace.data, tmp_path)
    assert 0 < trainer.state.global_step < 10_000
    assert list(tmp_path.glob("checkpoint-*"))


def test_rate_warms_up_stays_and_decays() -> None:
    assert [rate(step, step / 100, 10) for step in (0, 9, 50, 85, 100)] == pytest.approx([0.1, 1, 1, 0.5, 0])


def test_repeats_mark_the_ends_of_known_grams() -> None:
    row = torch.tensor([[1, 2, 3, 4, 5, 1, 2, 3, 4, 9]])
    assert repeats(row).nonzero().tolist() == [[0, 8]]
