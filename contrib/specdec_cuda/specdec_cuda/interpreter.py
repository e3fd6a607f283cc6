"""Triton's interpreter, which runs kernels on a CPU."""

import triton


def interpreted() -> bool:
    """Whether kernels are interpreted, as the environment's `TRITON_INTERPRET=1` asks for."""
    return bool(triton.knobs.runtime.interpret)
