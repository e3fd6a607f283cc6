"""The audit lets the kernels through, finds bad ones, and its page shows what it prints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from specdec_cuda.audit.arithmetic import amd_findings, nvidia_findings

TESTS = Path(__file__).parent
PAGE = TESTS.parents[2] / "docs/cuda.md"


def audit(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command where Triton compiles, with kernels of the tests in reach."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), *sys.path])
    command = [sys.executable, "-m", "specdec_cuda.audit", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_the_kernels_are_exact_and_do_not_spill(tmp_path: Path) -> None:
    page = tmp_path / "cuda.md"
    page.write_text("<!-- table -->\nold\n<!-- end -->\n", "utf-8")
    done = audit("--quick", "--page", str(page))

    assert (done.returncode, done.stderr) == (0, "")
    assert page.read_text("utf-8") == f"<!-- table -->\n{done.stdout}<!-- end -->\n"
    assert "|`race_kernel`|bf16|" in done.stdout
    assert "sm_80|sm_90|sm_100|gfx942" in done.stdout
    assert "Nothing spills, and nothing is fused or approximate." in done.stdout


def test_bad_kernels_are_found() -> None:
    done = audit("bad_kernels", "--target", "sm_90", "--target", "gfx942", "--json")
    found = {(row["kernel"], row["target"]): row["findings"] for row in json.loads(done.stdout)}

    assert done.returncode == 1
    assert found["good", "sm_90"] == found["good", "gfx942"] == []
    assert found["fused", "sm_90"] == ["fma.rn.f32"]
    assert found["fused", "gfx942"] == ["v_pk_fma_f32"]
    assert found["approximate", "sm_90"] == ["ex2.approx.f32"]
    assert "v_exp_f32" in found["approximate", "gfx942"]
    assert found["divided", "sm_90"] == ["div.full.f32"]  # on AMD's the plain quotient is exact
    assert all("spills" in finding for finding in found["spilling", "sm_90"] + found["spilling", "gfx942"])
    assert found["spilling", "sm_90"]
    assert found["spilling", "gfx942"]


def test_instructions_that_nobody_thought_of_are_found() -> None:
    ptx = ["add.rn.f32 \t%r1, %r2, %r3;", "add.f32 \t%r1, %r2;", "mul.rn.ftz.f32 %r1, %r2;", "@%p1 sin.new.f32 %r1;"]
    assert nvidia_findings("\t" + "\n\t".join(ptx)) == ["add.f32", "mul.rn.ftz.f32", "sin.new.f32"]

    amd = ["v_add_f32_e32 v1, v2, v3", "v_new_f32 v1, v2", "v_rcp_f32_e32 v1, v2", "global_atomic_add_f32 v1, v2"]
    found = amd_findings("\t" + "\n\t".join(amd))
    assert found == ["global_atomic_add_f32", "tiny numbers are zero", "v_new_f32", "v_rcp_f32"]


@pytest.mark.slow
def test_the_page_shows_what_is_printed() -> None:
    """If not, `python -m specdec_cuda.audit --page docs/cuda.md` writes it again."""
    assert audit().stdout in PAGE.read_text("utf-8")
