"""The self-test passes under the interpreter, fails where a kernel is wrong, and says what it needs elsewhere."""

import sys
from typing import Any

import pytest
import torch
import triton.language as tl
from specdec_cuda import comparisons, forest, plugin, selftest
from specdec_cuda.jit import Value, device
from specdec_cuda.kernels import keys
from specdec_cuda.selftest import compared, self_test
from specdec_cuda.work import Work

from specdec.doctor import Status
from specdec.plugins import Plugins

CPU = torch.device("cpu")


def test_doctor_is_given_a_finding_for_each_kernel() -> None:
    loaded = Plugins(group="none")
    loaded.add(plugin, "cuda")
    findings = list(loaded.entry("check", "cuda").factory())

    assert [one.name for one in findings] == [*comparisons.COMPARISONS]
    assert {one.status for one in findings} == {Status.OK}
    assert findings[0].message == "same results as its reference, interpreted"


@device
def next_token(key: Value) -> Value:
    return keys.token_of(key) + 1


@device
def backwards(score: Value, token: Value) -> Value:
    return keys.key_of(-score, token)


@device
def always(coin: Value, p: Value, q: Value) -> Value:
    return coin == coin


WRONG = {
    "noise": ("specdec_cuda.kernels.noise.SQRT_HALF", tl.constexpr(0x3F3504F3 - 2**20)),
    "race": ("specdec_cuda.kernels.race.key_of", backwards),
    "walk": ("specdec_cuda.kernels.walk.token_of", next_token),
    "rejection": ("specdec_cuda.kernels.rejection.accepted", always),
    "traversal": ("specdec_cuda.kernels.traversal.accepted", always),
    "kth": ("specdec_cuda.kernels.kth.SIGN", tl.constexpr(0)),
}
"""A name of each kernel's, and what it must not be."""


@pytest.mark.parametrize("name", WRONG)
def test_a_kernel_with_a_mistake_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*WRONG[name])
    finding = compared(name, comparisons.COMPARISONS[name], CPU)

    assert finding.status == Status.FAILED
    assert "got others; do not use the verifier cuda here, local works" in finding.message


@pytest.mark.parametrize("name", ["settle", "move", "mask"])
def test_a_kernel_that_does_nothing_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*args: Any) -> torch.Tensor:
        return torch.zeros(())

    monkeypatch.setattr(forest if name == "settle" else comparisons, name, nothing)
    test = "masks" if name == "mask" else name

    assert compared(test, comparisons.COMPARISONS[test], CPU).status == Status.FAILED


def test_a_kernel_that_does_not_run_fails_and_the_others_are_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(device: torch.device) -> comparisons.Comparison:
        raise RuntimeError("out of registers\nand more")

    monkeypatch.setattr(selftest, "COMPARISONS", {"race": broken, "masks": comparisons.COMPARISONS["masks"]})
    race, masks = self_test()

    assert (race.status, masks.status) == (Status.FAILED, Status.OK)
    assert race.message.startswith("expected a kernel that runs on cpu, got RuntimeError: out of registers;")


def test_on_a_gpu_kernels_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were one, whose memory moves a byte in a nanosecond; every launch takes two milliseconds."""
    launched = []
    monkeypatch.setattr(selftest, "interpreted", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(selftest, "bandwidth", lambda device: 1e9)
    monkeypatch.setattr("specdec_cuda.floor.do_bench", lambda launch, return_mode: launch() or 2.0)
    monkeypatch.setattr(selftest, "COMPARISONS", {"kth": lambda device: (1, 1), "wrong": lambda device: (1, 2)})
    monkeypatch.setattr(selftest, "WORKS", {"kth": lambda *_: Work(lambda: launched.append("kth"), 500_000)})
    kth, wrong = self_test()

    assert launched == ["kth"]
    assert kth.figures == {"median_us": 2000.0, "floor_us": 500.0}
    assert kth.message == (
        "same results as its reference, on the GPU; 2000.0 us, of which memory takes 500.0, "
        "with 8 trees of 64 nodes and 32,000 tokens in bfloat16"
    )
    assert (wrong.status, wrong.figures) == (Status.FAILED, {})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_gpu_and_interpreter_nothing_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "interpreted", lambda: False)
    (finding,) = self_test()

    assert finding.status == Status.INFO
    assert finding.message == "no GPU here; set TRITON_INTERPRET=1 to test the kernels on the CPU"


def test_without_triton_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "specdec_cuda.selftest", None)
    (finding,) = plugin._checks()

    assert finding.status == Status.INFO
    assert "the verifier local needs none" in finding.message
