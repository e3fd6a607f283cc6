"""The benchmark runs, as far as it does without a GPU, and refuses what means nothing before it begins."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import typer
from click.testing import Result
from specdec_cuda.bench import decoding
from specdec_cuda.bench.__main__ import bench
from specdec_cuda.bench.counting import Scripted, Size, counting_model
from specdec_cuda.work import WORKS
from typer.testing import CliRunner

from specdec import Decoder, Sampling, Stop, Target, load_drafter

TAUS = [1, 2, 3, 4, 5, 2, 3, 4, 5]
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def run(*args: object) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(bench)
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.mark.slow
def test_a_trial_runs_all_of_it_without_times(tmp_path: Path) -> None:
    """As a user runs it, who has not set up the interpreter."""
    command = [sys.executable, "-m", "specdec_cuda.bench", "--try", "--temperature", "0", "--json"]
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    options = {"capture_output": True, "text": True, "env": environment}
    done = subprocess.run([*command, str(tmp_path / "out.json")], **options)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "out.json").read_text())

    assert " us" not in done.stdout
    assert "per second" not in done.stdout
    assert [row["kernel"] for row in written["kernels"]] == [*WORKS]
    assert all(row["median_us"] is None and row["nbytes"] > 0 for row in written["kernels"])
    assert [row["verifier"] for row in written["decoding"]] == ["local"] * 5 + ["cuda"] * 4
    assert [row["tau"] for row in written["decoding"]] == TAUS
    assert [row["measured_tau"] for row in written["decoding"]] == TAUS
    assert all(row["as_scripted"] and row["tokens_per_second"] is None for row in written["decoding"])


@without_gpu
def test_without_a_gpu_nothing_is_computed(tmp_path: Path) -> None:
    done = run("--json", tmp_path / "out.json")

    assert done.exit_code == 1
    assert done.stdout == ""
    assert "expected a GPU of NVIDIA's or AMD's, got none; --try runs it all tiny on the CPU" in done.stderr
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--batch", "0"), "expected --batch with whole numbers of at least 1 and commas between, got '0'"),
        (("--vocabulary", "32000,many"), "expected --vocabulary with whole numbers"),
        (("--dtype", "bf16,fp8"), "expected --dtype of bf16, fp16, fp32, got 'fp8'"),
        (("--nodes", "5"), "expected --nodes above 5"),
        (("--hidden", "1000"), "expected --hidden to be a multiple of 512"),
        (("--layers", "0"), "expected --layers and --tokens of at least 1, got 0 and 256"),
        (("--temperature", "warm"), "expected --temperature with numbers from 0"),
        (("--json", "not/there.json"), "expected --json with a file in a folder that is there"),
    ],
)
def test_options_that_mean_nothing(args: tuple[str, str], message: str) -> None:
    done = run(*args)

    assert done.exit_code == 2
    assert message in done.stderr


def test_the_model_counts_greedily_and_when_sampling() -> None:
    model = counting_model(Size(2, 64, 300), torch.float32, torch.device("cpu"))
    decoder = Decoder(load_drafter("none"), Target(model))
    prompts = [[5, 6, 7], [297, 298]]

    for temperature in (0.0, 1.0):
        said = decoder.generate(prompts, Sampling(temperature, seed=3), Stop(6, tokens=()))
        assert said.tokens == ((8, 9, 10, 11, 12, 13), (299, 0, 1, 2, 3, 4))
    assert model.generate(torch.tensor([[5]]), max_new_tokens=4, do_sample=False).tolist() == [[5, 6, 7, 8, 9]]


def test_speed_ups_are_over_plain_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock by which plain decoding takes ten seconds and all else two."""
    times = iter([10.0, *[2.0] * 8])
    monkeypatch.setattr(decoding, "VERIFIERS", {"local": Target, "again": Target})
    model = counting_model(Size(1, 64, 300), torch.float32, torch.device("cpu"))
    rows = list(decoding.decoding(model, decoding.Case(2, 1.0, 16, 20), lambda run: [run(), next(times)][1]))

    assert [row.tau for row in rows] == [row.measured_tau for row in rows] == TAUS
    assert [row.tokens_per_second for row in rows] == [4.0, *[20.0] * 8]
    assert [row.speedup for row in rows] == [1.0, *[5.0] * 8]
    assert all(row.as_scripted for row in rows)


def test_the_clock_is_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            told.append("record")

        def synchronize(self) -> None:
            told.append("synchronize")

        def elapsed_time(self, end: "Event") -> float:
            return 1500.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: told.append("idle"))

    assert decoding.on_gpu(lambda: told.append("run")) == 1.5
    assert told == ["idle", "record", "run", "record", "synchronize"]


@pytest.mark.parametrize("accepted", [1, 4])
@pytest.mark.parametrize("nodes", [8, 64])
def test_drafts_are_right_for_as_long_as_they_should_be(accepted: int, nodes: int) -> None:
    tree = Scripted(accepted, nodes, 300).tree(298)

    assert len(tree) == nodes
    assert len(tree.follow([299, 0, 1, 2, 3, 4, 5])) == accepted
