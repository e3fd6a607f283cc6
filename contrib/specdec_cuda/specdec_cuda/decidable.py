"""What kernels can decide."""

import torch

from specdec import Keyed, Prefix
from specdec_cuda.chance import KeyedOnDevice

PRECISIONS = (torch.bfloat16, torch.float16, torch.float32)


def decidable(prefix: Prefix, dtype: torch.dtype) -> bool:
    """Whether a sequence is for kernels: not with processors of the user's, which may remember, or another chance.

    A subclass of `Keyed` is another one, for it may draw otherwise.
    """
    keyed = type(prefix.noise.chance) in (Keyed, KeyedOnDevice)
    return keyed and not prefix.sampling.processors and dtype in PRECISIONS
