"""Every kernel against its reference, for `specdec doctor`; on a GPU, against its floor as well."""

from collections.abc import Callable, Iterator

import torch

from specdec.doctor import Finding, Status
from specdec_cuda.comparisons import COMPARISONS, Comparison
from specdec_cuda.floor import Floor, bandwidth
from specdec_cuda.interpreter import interpreted
from specdec_cuda.work import WORKS, Shape

TYPICAL = Shape(batch=8, nodes=64, vocabulary=32_000, dtype=torch.bfloat16)
"""What is timed."""
REMEDY = "do not use the verifier cuda here, local works"


def self_test() -> Iterator[Finding]:
    """Compare every kernel with its reference, on a GPU or else under the interpreter; on a GPU, time it as well."""
    if not (interpreted() or torch.cuda.is_available()):
        message = "no GPU here; set TRITON_INTERPRET=1 to test the kernels on the CPU"
        yield Finding("kernels", Status.INFO, message)
        return
    device = torch.device("cpu" if interpreted() else "cuda")
    speed = None if interpreted() else bandwidth(device)
    for name, comparison in COMPARISONS.items():
        finding = compared(name, comparison, device)
        if finding.status == Status.OK and speed is not None and name in WORKS:
            floor = Floor.of(WORKS[name](TYPICAL, device), speed)
            message = f"{finding.message}; {floor}, with {TYPICAL}"
            finding = Finding(name, Status.OK, message, floor.figures)
        yield finding


def compared(name: str, comparison: Callable[[torch.device], Comparison], device: torch.device) -> Finding:
    """Run one comparison; a kernel that does not compile or run has failed."""
    try:
        result, reference = comparison(device)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        message = f"expected a kernel that runs on {device.type}, got {type(error).__name__}: {reason}; {REMEDY}"
        return Finding(name, Status.FAILED, message)
    if result != reference:
        return Finding(name, Status.FAILED, f"expected the results of its reference, got others; {REMEDY}")
    where = "interpreted" if interpreted() else "on the GPU"
    return Finding(name, Status.OK, f"same results as its reference, {where}")
