"""Kernels compiled for a GPU, by Triton and the tools that it brings along."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import triton
from attrs import frozen
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from specdec_cuda.audit.arithmetic import amd_findings, nvidia_findings
from specdec_cuda.jit import Kernel

TARGETS = ("sm_80", "sm_90", "sm_100", "gfx942")
"""The generations of A100, H100 and B200, and MI300."""


@frozen
class Row:
    """What came out of a kernel that reads numbers of one type, on one target."""

    kernel: str
    numbers: str
    target: str
    registers: int
    """Of a thread."""
    spilled: int
    """Bytes of a thread that found no register, or registers of a wave that others had to hold."""
    shared: int
    """Bytes of a program's shared memory."""
    findings: list[str]
    """What it may not have: operations that round otherwise elsewhere, and spills."""


def variants(kernel: Kernel) -> Iterator[tuple[str, dict[str, str]]]:
    """List what a kernel may be given: the type of numbers in which it differs, if in any, and those of all."""
    taken = {name: one.annotation.types for name, one in kernel.parameters.items() if one.default is one.empty}
    several = next((kinds for kinds in taken.values() if len(kinds) > 1), ("",))
    for numbers in several:
        types = {name: numbers if kinds == several else kinds[0] for name, kinds in taken.items()}
        yield numbers.removeprefix("*"), types


def audited(kernel: Kernel, numbers: str, types: dict[str, str], target: str) -> Row:
    """Compile one variant, and look at what comes out."""
    amd = target.startswith("gfx")
    gpu = GPUTarget("hip", target, 64) if amd else GPUTarget("cuda", int(target.removeprefix("sm_")), 32)
    compiled = triton.compile(_source(kernel, types), target=gpu, options=kernel.options)
    code = compiled.asm["amdgcn" if amd else "ptx"]
    registers, spilled = _amd_usage(code) if amd else _nvidia_usage(compiled.asm["cubin"])
    findings = (amd_findings if amd else nvidia_findings)(code)
    findings += [f"spills {spilled}"] if spilled else []
    return Row(kernel.name, numbers, target, registers, spilled, compiled.metadata.shared, findings)


def _source(kernel: Kernel, types: dict[str, str]) -> ASTSource:
    """What Triton would be given by a launch: pointers and most sizes are multiples of 16."""
    constants = {name: one.default for name, one in kernel.parameters.items() if name not in types}
    signature = {name: types.get(name, "constexpr") for name in kernel.parameters}
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, (name, one) in enumerate(kernel.parameters.items())
        if name in types and one.annotation.aligned
    }
    values = {name: getattr(constant, "value", constant) for name, constant in constants.items()}
    return ASTSource(kernel.compiled, signature, values, aligned)


def _nvidia_usage(cubin: bytes) -> tuple[int, int]:
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with TemporaryDirectory() as folder:
        file = Path(folder, "kernel.cubin")
        file.write_bytes(cubin)
        usage = subprocess.run([tool, "-res-usage", file], capture_output=True, text=True, check=True).stdout
    registers, stack, local = (int(number) for number in re.findall(r"\b(?:REG|STACK|LOCAL):(\d+)", usage))
    return registers, stack + local


def _amd_usage(code: str) -> tuple[int, int]:
    counts = {name: int(count) for name, count in re.findall(r"^\s+\.(\w+):\s+(\d+)$", code, re.MULTILINE)}
    spilled = counts["vgpr_spill_count"] + counts["sgpr_spill_count"] + counts["private_segment_fixed_size"]
    return counts["vgpr_count"], spilled
