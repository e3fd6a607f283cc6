"""The precision of training, as it is asked for on the command line."""

import sys
from typing import Any

from specdec.errors import OptionError

NAMES = ("fp32", "bf16", "fp16")


def check(precision: str, *, aloud: bool) -> None:
    """Check that this machine can train so; `aloud` says what will be slow.

    Raises:
        OptionError: there is no such precision, or not without a GPU.
    """
    import torch

    gpu = torch.cuda.is_available()
    if precision not in NAMES:
        raise OptionError(f"expected a precision of fp32, bf16 or fp16, got {precision!r}")
    if precision == "fp16" and not gpu:
        raise OptionError("expected fp32 or bf16 without a GPU, got fp16")
    if precision == "bf16" and not gpu and aloud:
        print("specdec: bf16 without a GPU may be far slower than fp32", file=sys.stderr)


def dtype(precision: str) -> Any:
    """Give the type that the target is loaded in."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def arguments(precision: str) -> tuple[tuple[str, bool], ...]:
    """Give the trainer's own argument for it."""
    return () if precision == "fp32" else ((precision, True),)
