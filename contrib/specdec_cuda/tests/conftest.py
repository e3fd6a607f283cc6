"""Kernels run on CPU tensors, in Triton's interpreter; what is launched is held to what is declared, and audited."""

import os
from collections.abc import Callable
from importlib.util import find_spec

os.environ["TRITON_INTERPRET"] = "1"  # which Triton reads when kernels are declared

import pytest
import torch

collect_ignore_glob = [] if find_spec("triton") else ["test_*.py"]

NAMES = {
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.float32: "*fp32",
    torch.float64: "*fp64",
    torch.int32: "*i32",
    torch.int64: "*i64",
}


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the arguments of each launch against the kernel's annotations."""
    from specdec_cuda.jit import Kernel

    launch = Kernel.__getitem__

    def checked(kernel: Kernel, grid: tuple[int, ...]) -> Callable[..., object]:
        def run(*args: object, **constants: int) -> object:
            for (name, parameter), value in zip(kernel.parameters.items(), args, strict=False):
                kind = NAMES[value.dtype] if isinstance(value, torch.Tensor) else f"{type(value).__name__}"
                types = parameter.annotation.types
                fits = kind in types or (kind == "int" and "i32" in types and -(2**31) <= value < 2**31)
                assert fits, f"{kernel.name} declares {name} as {types}, got {kind} {value}"
            return launch(kernel, grid)(*args, **constants)

        return run

    monkeypatch.setattr(Kernel, "__getitem__", checked)
