"""Kernels on a pretended GPU: the interpreter is given what its tensors hold."""

from collections.abc import Callable, Iterator

import pytest
from specdec_cuda.jit import Kernel
from torch import Tensor

from specdec.testing import PretendedGPU, pretended_gpu
from specdec.testing.pretend import OnDevice, on_host


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendedGPU]:
    launch = Kernel.__getitem__

    def launched(kernel: Kernel, grid: tuple[int, ...]) -> Callable[..., object]:
        def run(*args: object, **constants: int) -> object:
            if any(isinstance(one, Tensor) and not isinstance(one, OnDevice) for one in args):
                raise RuntimeError(f"expected tensors on the GPU for {kernel.name}, got one on the CPU")
            there = tuple(map(on_host, args))
            return gpu.launch(kernel.name, lambda: launch(kernel, grid)(*there, **constants))

        return run

    with pretended_gpu() as gpu:
        monkeypatch.setattr("specdec_cuda.interpreter.interpreted", lambda: False)  # there is a GPU for kernels
        monkeypatch.setattr(Kernel, "__getitem__", launched)
        yield gpu
