"""Small numbers on their way to a device."""

from collections.abc import Sequence

import torch
from torch import Tensor

ALIGNMENT = 16
"""Bytes to a multiple of which each tensor begins, so that its part can be read as its type."""


def upload(device: torch.device, *tensors: Tensor) -> list[Tensor]:
    """Copy tensors of the host to a device, and never wait for it; on a CPU they stay as they are.

    To a GPU they go in one piece, from pinned memory. What is on a device already stays there.
    """
    if device.type != "cuda":
        return [tensor.to(device) for tensor in tensors]
    here = [tensor for tensor in tensors if tensor.device.type == "cpu"]
    there = iter(_in_one_piece(device, here))
    return [next(there) if tensor.device.type == "cpu" else tensor for tensor in tensors]


def _in_one_piece(device: torch.device, tensors: Sequence[Tensor]) -> list[Tensor]:
    if not tensors:
        return []
    pieces = [_aligned(tensor.contiguous().view(-1).view(torch.uint8)) for tensor in tensors]
    packed = torch.cat(pieces).pin_memory().to(device, non_blocking=True)
    parts = torch.split(packed, [len(piece) for piece in pieces])
    pairs = zip(parts, tensors, strict=True)
    return [part[: tensor.nbytes].view(tensor.dtype).view(tensor.shape) for part, tensor in pairs]


def _aligned(piece: Tensor) -> Tensor:
    return torch.nn.functional.pad(piece, (0, -len(piece) % ALIGNMENT))
