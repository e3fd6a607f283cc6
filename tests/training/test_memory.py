"""Nothing that a step of training makes is as large as the scores of all tokens, or grows with tokens squared."""

import json
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from specdec.bench.training_memory import target, texts
from specdec.heads import copies
from specdec.training import Progress, Teacher, load_method
from specdec_moa import model as model_module
from specdec_moa import training
from tests.toys import VOCAB, build

VOCABULARY, TOKENS, CHUNK = 20000, 600, 128


class Largest(TorchDispatchMode):
    """Keeps the largest count of numbers of a tensor that any operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        sizes = [
            leaf.untyped_storage().nbytes() // leaf.element_size()
            for leaf in tree_leaves(made)
            if isinstance(leaf, torch.Tensor)
        ]
        self.size = max([self.size, *sizes])
        return made


@pytest.mark.parametrize("tli", [0, 1])
def test_the_scores_of_all_tokens_never_exist_at_a_time(tli: int) -> None:
    model = target(VOCABULARY, 128, 2, 64)
    method, batch = load_method("moa", model, tli=tli), texts(VOCABULARY, TOKENS)
    teacher = Teacher(model, method.needs)
    with Largest() as largest:
        method(teacher.read(batch), Progress(0.0, 1.0))["loss"].backward()
    assert CHUNK * VOCABULARY <= largest.size < 1.01 * CHUNK * VOCABULARY < TOKENS * VOCABULARY


def test_large_weights_are_not_copied_and_learn_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is the memory of many tokens made at once, nor is what blocks over them compute kept."""
    model, batch = build("qwen2"), texts(VOCAB, 24)
    method = load_method("moa", model).to(model.dtype)
    found = []
    for small, at_once in ((copies.SMALL, training.LARGE), (0, 0)):
        monkeypatch.setattr(copies, "SMALL", small)
        monkeypatch.setattr(training, "LARGE", at_once)
        monkeypatch.setattr(training, "PART", 1000)
        monkeypatch.setattr(model_module, "LARGE", at_once)
        method.zero_grad()
        loss = method(Teacher(model, method.needs).read(batch), Progress(0.0, 1.0))["loss"]
        loss.backward()
        found.append([loss.detach(), *(parameter.grad.clone() for parameter in method.parameters())])
    for joined, apart in zip(*found, strict=True):
        torch.testing.assert_close(joined, apart)


def test_the_measured_peak_is_above_what_is_known_to_be_made() -> None:
    """In a process of its own: this one has memory to spare, which what is measured would go into unseen."""
    sizes = {"vocabulary": 100_000, "hidden": 128, "layers": 2, "intermediate": 64, "tokens": TOKENS, "threads": 1}
    options = [f"--{name}={size}" for name, size in sizes.items()]
    command = [sys.executable, "-m", "specdec.bench.training_memory", *options, "--json"]
    cost = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert cost["models"] > 0
    assert 2**30 * cost["peak"] > 4 * CHUNK * sizes["vocabulary"]
