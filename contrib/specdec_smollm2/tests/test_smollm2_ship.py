"""Trained heads become those that ship."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from specdec_smollm2.card import Run
from specdec_smollm2.ship import ship
from test_smollm2_sample import chat as chat
from typer.testing import CliRunner

from specdec import Decoder, Sampling, Stop, Target, load_drafter
from specdec.cli.main import app

METHODS = ["moa:tli=1,draft_vocab=8,name=one", "eagle3:draft_vocab=6"]


@pytest.fixture(scope="module")
def run(chat: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps({"prompt": "abc", "response": "defghi" * n}) + "\n" for n in range(2, 8)))
    train(METHODS, chat, data, folder / "heads")
    return folder


def train(methods: list[str], target: str, data: Path, output: Path, *more: Any) -> None:
    options = ["--target", target, "--data", data, "--output", output, "--batch", 2, "--epochs", 1, "--save-steps", 1]
    result = CliRunner().invoke(app, [str(arg) for arg in ["train", *methods, *options, "--recipe", "short", *more]])
    assert result.exit_code == 0, result.stderr


def test_heads_ship_in_half_precision_and_draft(chat: str, run: Path, tmp_path: Path) -> None:
    ship([run / "heads"], tmp_path)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["eagle3-draft_vocab6", "one"]
    target = Target.from_pretrained(chat)
    plain = Decoder(load_drafter("none"), target).generate(["abc"], Sampling(), Stop(20)).tokens
    for method, name in (("moa", "one"), ("eagle3", "eagle3-draft_vocab6")):
        whole, half = (load_file(folder / name / "model.safetensors") for folder in (run / "heads", tmp_path))
        assert whole.keys() == half.keys()
        for key, tensor in whole.items():
            assert half[key].dtype == (torch.float16 if tensor.is_floating_point() else tensor.dtype)
            assert torch.equal(half[key], tensor.to(half[key].dtype))
        drafter = load_drafter(method, tmp_path / name, target=target)
        assert Decoder(drafter, target).generate(["abc"], Sampling(), Stop(20)).tokens == plain


def test_cards_say_how_heads_were_trained(run: Path, tmp_path: Path) -> None:
    ship([run / "heads"], tmp_path)
    card = (tmp_path / "one" / "README.md").read_text()
    parameters = sum(
        each.numel()
        for name, each in load_file(tmp_path / "one" / "model.safetensors").items()
        if name[1:] not in ("2d", "2t")
    )
    for said in (
        "# smollm2-one",
        "method `moa`",
        f"{parameters:,} parameters",
        "--drafter moa:smollm2-one",
        "3 steps of 2 texts, 1 passes",
        "`short`",
        "|`tli`|1|\n",
        "|`draft_vocab`|8|\n",
        "|vocabulary|",
        "|earlier_feature|",
    ):
        assert said in card, said
    assert "|`rate`|" not in card  # which the recipe decides


def test_losses_are_means_over_the_last_tenth_of_the_steps() -> None:
    """Each entry counts as many times as the steps it is a mean of."""
    steps, losses = (85, 90, 95, 99, 100), (50.0, 40.0, 3.0, 2.0, 7.0)
    logs = [{"step": step, "one/loss": loss, "one/grad_norm": 1.0} for step, loss in zip(steps, losses, strict=True)]

    assert Run({}, {"log_history": [*logs, {"step": 100, "loss": 1.0}]}).losses("one") == {
        "loss": pytest.approx((5 * 3.0 + 4 * 2.0 + 7.0) / 10)
    }


def test_a_run_that_is_not_finished_does_not_ship(chat: str, run: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="expected a finished run in"):
        ship([tmp_path], tmp_path / "models")
    record = run / "heads" / "specdec.json"
    whole = record.read_text()
    record.write_text(json.dumps(json.loads(whole) | {"finished": False}))
    try:
        with pytest.raises(SystemExit, match=r"expected a finished run in .*heads"):
            ship([run / "heads"], tmp_path / "models")
    finally:
        record.write_text(whole)
    train(["moa"], chat, run / "data.jsonl", tmp_path / "alone")
    with pytest.raises(SystemExit, match=r"expected a run of several heads in .*alone, got one of moa"):
        ship([tmp_path / "alone"], tmp_path / "models")
    assert not (tmp_path / "models").exists()
