"""A pretended GPU: tensors that say `cuda`, compute on the CPU, and count what crosses between the two.

What blocks is what makes a host wait for a real GPU: reading a value of it, copying from it, indexing with a mask, and
copying to it from memory that is not pinned. Devices do not mix, and there is no `.numpy()`, as on a real one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch

from specdec.testing.pretend.gpu import ACTIVE, Crossing, PretendedGPU
from specdec.testing.pretend.graphs import Graph, capture
from specdec.testing.pretend.placing import Placing
from specdec.testing.pretend.tensors import OnDevice, on_host

__all__ = ["Crossing", "OnDevice", "PretendedGPU", "on_host", "pretended_gpu"]


@contextmanager
def pretended_gpu() -> Iterator[PretendedGPU]:
    """Pretend that there is a GPU; one at a time.

    Inference mode is plain `no_grad` inside, for subclasses of tensors have no views in it.
    """
    ACTIVE.append(PretendedGPU(OnDevice))
    graphs = patch.multiple(torch.cuda, CUDAGraph=Graph, graph=capture)
    try:
        with patch.object(torch, "inference_mode", _no_grad), graphs, Placing():
            yield ACTIVE[-1]
    finally:
        ACTIVE.pop()


@contextmanager
def _no_grad(mode: bool = True) -> Iterator[None]:
    with torch.no_grad():
        yield
