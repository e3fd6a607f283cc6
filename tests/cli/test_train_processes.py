"""Runs that are killed, and runs of several processes: as programs, for that is what is killed and launched."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from specdec import Target, load_drafter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
ONE = [sys.executable, "-m", "specdec.cli.main"]
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "specdec.cli.main"]


@pytest.fixture
def data(tmp_path):
    """Texts of equal length, so that a mean of means is the mean."""
    path = tmp_path / "data.txt"
    digits = random.Random(0).choices("0123456789", k=16 * 24)
    path.write_text("".join(digits))
    return path


@pytest.fixture
def train(target, data, tmp_path):
    def train(name, *args, program=ONE):
        where = ["--target", target, "--data", data, "--output", tmp_path / name, "--max-length", 16, "--log-steps", 1]
        command = [*program, "train", "moa", *where, "--warmup", 2, *args]
        return subprocess.Popen([str(part) for part in command], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)

    return train


def finished(process):
    said, _ = process.communicate()
    assert process.returncode == 0
    return said


def losses(folder):
    last = max(folder.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    history = json.loads((last / "trainer_state.json").read_text())["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry]


def test_a_run_killed_at_any_moment_comes_to_the_same_losses(train, tmp_path):
    options = ["--batch", 4, "--max-steps", 60, "--save-steps", 1]
    finished(train("whole", *options))
    chance, said = random.Random(), []
    for line in ("step 9,", "step 30,"):
        process = train("killed", *options)
        while not said or not said[-1].startswith(line):
            said.append(process.stdout.readline())
        time.sleep(chance.random() / 5)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert "continuing after step" in finished(train("killed", *options))

    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    whole, killed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_two_processes_learn_as_one_with_twice_the_batch(train, target, tmp_path):
    options = ["--max-steps", 8, "--save-steps", 4, "--prompts", tmp_path / "questions.jsonl", "--eval-tokens", 4]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps({"turns": [text]}) + "\n" for text in "0123"))
    one = finished(train("one", "--batch", 4, *options)).splitlines()
    two = finished(train("two", "--batch", 2, *options, program=TWO)).splitlines()

    assert len(one) == len(two)  # one process speaks
    assert one[-2] == two[-2]
    assert "acceptance length" in one[-2]
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=1e-3, rtol=1e-3)
    assert load_drafter("moa", str(tmp_path / "two"), target=Target.from_pretrained(target)).vocab_size
