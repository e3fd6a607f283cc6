"""CUDA graphs of a pretended GPU: what was launched, to be done again on the same tensors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import define, field

from specdec.testing.pretend.gpu import Capture, active


@define(eq=False)
class Graph:
    """In the place of `torch.cuda.CUDAGraph`."""

    work: list[Callable[[], object]] = field(factory=list)

    def replay(self) -> None:
        """Do it all again: it reads and writes the memory that it read and wrote when it was captured."""
        active().launches["graph"] += 1
        for each in self.work:
            each()


@contextmanager
def capture(graph: Graph, *, capture_error_mode: str = "global") -> Iterator[None]:
    """In the place of `torch.cuda.graph`.

    Raises:
        RuntimeError: another thread spoilt it.
    """
    gpu, capturing = active(), Capture(graph.work, capture_error_mode)
    gpu.capturing = capturing
    try:
        yield
    finally:
        gpu.capturing = None
    if capturing.spoilt:
        raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
