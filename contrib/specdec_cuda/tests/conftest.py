"""Kernels run on CPU tensors, in Triton's interpreter; what is launched is held to what is declared, and audited."""

import os
from collections.abc import Callable
from importlib.util import find_spec

os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported

import pytest
import torch

collect_ignore_glob = [] if find_spec("triton") else ["test_*.py"]

NAMES = {
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.float32: "*fp32",
    torch.float64: "*fp64",
    torch.int32: "*i32",
    torch.uint8: "*u8",
    torch.int64: "*i64",
}


def kinds(value: object) -> set[str]:
    """What an argument may be declared as."""
    if isinstance(value, torch.Tensor):
        return {NAMES[value.dtype]}
    return {"fp32"} if isinstance(value, float) else {"i64", "i32"} if abs(value) < 2**31 else {"i64"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the interpreter two fifths of its time: it gets its language ready in each call of a function of kernels.

    Once for each module in each launch is enough.
    """
    from triton.runtime import interpreter

    ready = set[int]()
    launch = interpreter.GridExecutor.__call__

    def launched(executor: object, *args: object, **options: object) -> object:
        ready.clear()
        return launch(executor, *args, **options)

    def called(function: interpreter.InterpretedFunction, *args: object, **options: object) -> object:
        module = id(function.fn.__globals__)
        if module not in ready:
            ready.add(module)
            interpreter._patch_lang(function.fn)
        return function.rewrite()(*args, **options)

    monkeypatch.setattr(interpreter.GridExecutor, "__call__", launched)
    monkeypatch.setattr(interpreter.InterpretedFunction, "__call__", called)


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the arguments of each launch against the kernel's annotations."""
    from specdec_cuda.jit import Kernel

    launch = Kernel.__getitem__

    def checked(kernel: Kernel, grid: tuple[int, ...]) -> Callable[..., object]:
        def run(*args: object, **constants: int) -> object:
            for (name, parameter), value in zip(kernel.parameters.items(), args, strict=False):
                types = parameter.annotation.types
                assert kinds(value) & set(types), f"{kernel.name} declares {name} as {types}, got {value}"
            return launch(kernel, grid)(*args, **constants)

        return run

    monkeypatch.setattr(Kernel, "__getitem__", checked)
