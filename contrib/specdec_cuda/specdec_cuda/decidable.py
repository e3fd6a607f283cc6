"""What kernels can decide."""

import torch

from specdec import Keyed, Prefix

PRECISIONS = (torch.bfloat16, torch.float16, torch.float32)


def decidable(prefix: Prefix, dtype: torch.dtype) -> bool:
    """Whether a sequence is for kernels: not with processors of the user's, which may remember, or another chance."""
    return not prefix.sampling.processors and isinstance(prefix.noise.chance, Keyed) and dtype in PRECISIONS
