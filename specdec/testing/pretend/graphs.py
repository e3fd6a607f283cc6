"""CUDA graphs of a pretended GPU: what was launched, to be done again on the same tensors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field

from specdec.testing.pretend.gpu import active


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
def capture(graph: Graph, **options: Any) -> Iterator[None]:
    """In the place of `torch.cuda.graph`."""
    gpu = active()
    gpu.capturing = graph.work
    try:
        yield
    finally:
        gpu.capturing = None
