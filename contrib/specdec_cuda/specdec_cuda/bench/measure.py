"""The whole benchmark."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from attrs import asdict, frozen
from triton import __version__ as triton_version

from specdec_cuda.bench import decoding, kernels
from specdec_cuda.bench.counting import counting_model
from specdec_cuda.bench.decoding import on_gpu, untimed
from specdec_cuda.bench.plan import Plan
from specdec_cuda.floor import bandwidth

Show = Callable[[Sequence[kernels.Row] | Sequence[decoding.Row]], None]


@frozen
class Result:
    """What was measured, where; without a GPU nothing is timed."""

    device: str
    torch: str
    triton: str
    bytes_per_second: float | None
    kernels: list[kernels.Row]
    decoding: list[decoding.Row]

    @property
    def right(self) -> bool:
        """Whether all texts were what the model is known to say."""
        return all(row.as_scripted for row in self.decoding)

    def as_json(self) -> dict[str, Any]:
        """Lay out what a machine reads."""
        return asdict(self)


def measure(plan: Plan, device: torch.device, show: Show) -> Result:
    """Run the kernels, then decode, and show the rows of each shape or case as soon as they are there."""
    timed = device.type == "cuda"
    speed = bandwidth(device) if timed else None
    of_kernels, of_decoding = list[kernels.Row](), list[decoding.Row]()
    for shape in plan.shapes:
        rows = list(kernels.kernels([shape], device, speed))
        show(rows)
        of_kernels += rows
    model = counting_model(plan.size, plan.dtype if timed else torch.float32, device)
    for case in plan.cases:
        decoded = list(decoding.decoding(model, case, on_gpu if timed else untimed))
        show(decoded)
        of_decoding += decoded
    name = torch.cuda.get_device_name(device) if timed else "cpu, interpreted"
    return Result(name, torch.__version__, triton_version, speed, of_kernels, of_decoding)
