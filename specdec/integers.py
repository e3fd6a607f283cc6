"""Rows of numbers as whole numbers of few bits."""

import torch
from attrs import frozen
from jaxtyping import Float, Int8, UInt8
from torch import Tensor


@frozen
class Integers:
    """Whole numbers of so many bits, with a scale in half precision for each group of a token's numbers."""

    bits: int
    group: int

    def sizes(self, width: int) -> tuple[int, int]:
        """Count the groups of a token with so many numbers, and all its bytes."""
        groups = -(-width // self.group)
        return groups, 2 * groups + -(-width * self.bits // 8)

    def encode(self, values: Float[Tensor, "K W"]) -> bytes:
        """Write each token's scales, then its numbers."""
        width, (groups, _) = values.shape[1], self.sizes(values.shape[1])
        top = 2 ** (self.bits - 1) - 1
        padded = torch.nn.functional.pad(values.float(), (0, groups * self.group - width)).view(-1, groups, self.group)
        scales = (padded.abs().amax(-1) / top).clamp(2**-24, 65504).half()
        whole = (padded / scales.float()[..., None]).round().clamp(-top, top).to(torch.int8).flatten(1)[:, :width]
        coded = whole.view(torch.uint8) if self.bits == 8 else _pairs(whole)
        return torch.cat([scales.view(torch.uint8), coded.contiguous()], 1).numpy().tobytes()

    def decode(self, data: UInt8[Tensor, "K _"], width: int) -> Float[Tensor, "K W"]:
        """Read what `encode` wrote."""
        groups, _ = self.sizes(width)
        scales = data[:, : 2 * groups].flatten().view(torch.float16).view(-1, groups).float()
        coded = data[:, 2 * groups :]
        whole = (coded.view(torch.int8) if self.bits == 8 else _unpaired(coded)[:, :width]).float()
        return whole * scales.repeat_interleave(self.group, 1)[:, :width]


def _pairs(whole: Int8[Tensor, "K W"]) -> UInt8[Tensor, "K _"]:
    """Put two numbers of four bits in a byte, the first one low."""
    padded = torch.nn.functional.pad(whole, (0, whole.shape[1] % 2)).view(torch.uint8) & 15
    return padded[:, ::2] | padded[:, 1::2] << 4


def _unpaired(coded: UInt8[Tensor, "K _"]) -> Int8[Tensor, "K W"]:
    halves = torch.stack([coded & 15, coded >> 4], -1).flatten(1).to(torch.int8)
    return halves - ((halves & 8) << 1)
