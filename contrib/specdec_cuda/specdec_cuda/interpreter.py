"""Triton's interpreter, which runs kernels on a CPU."""

import torch
import triton


def interpreted() -> bool:
    """Whether kernels are interpreted, as the environment's `TRITON_INTERPRET=1` asks for."""
    return bool(triton.knobs.runtime.interpret)


def runs_kernels(device: torch.device) -> bool:
    """Whether kernels run on tensors of a device: on those of a GPU, and interpreted on those of the CPU."""
    return device.type == "cuda" or interpreted()
