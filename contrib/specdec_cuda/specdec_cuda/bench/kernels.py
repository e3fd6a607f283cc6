"""Each kernel's time beside its floor."""

from collections.abc import Iterator, Sequence

import torch
from attrs import frozen

from specdec_cuda.floor import Floor
from specdec_cuda.work import WORKS, Shape


@frozen
class Row:
    """One measurement; without a bandwidth the kernel was launched, and not timed."""

    kernel: str
    batch: int
    nodes: int
    vocabulary: int
    dtype: str
    nbytes: int
    median_us: float | None = None
    floor_us: float | None = None


def kernels(shapes: Sequence[Shape], device: torch.device, speed: float | None) -> Iterator[Row]:
    """Launch every kernel on every shape, and time it on a GPU that moves so many bytes in a second."""
    for shape in shapes:
        dtype = str(shape.dtype).removeprefix("torch.")
        for name, make in WORKS.items():
            work = make(shape, device)
            figures = {} if speed is None else Floor.of(work, speed).figures
            if speed is None:
                work.launch()
            yield Row(name, shape.batch, shape.nodes, shape.vocabulary, dtype, work.nbytes, **figures)
