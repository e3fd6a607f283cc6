"""Features as bytes: whole numbers take a quarter of the room or less, and what is lost costs acceptance alone."""

from math import prod

import torch
from attrs import fields, frozen
from jaxtyping import Float, Int8, UInt8
from torch import Tensor

from specdec.errors import ProtocolError
from specdec.features import Features
from specdec.split.messages import Array

FLOATS = {"float32": torch.float32, "float16": torch.float16}


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


INTEGERS = {"int8": Integers(8, 128), "int4": Integers(4, 32)}
CODECS = (*FLOATS, *INTEGERS)


def encode_features(features: Features, codec: str) -> dict[str, Array]:
    """Write the features of one sequence; none where one of them is not finite."""
    parts = {part.name: getattr(features, part.name) for part in fields(Features)}
    rows = {name: part[0].detach().cpu() for name, part in parts.items() if part is not None}
    if not all(row.isfinite().all() for row in rows.values()):
        return {}
    return {name: Array(tuple(row.shape), _encode(row.flatten(1), codec)) for name, row in rows.items()}


def decode_features(arrays: dict[str, Array], codec: str) -> Features | None:
    """Read features as those of one sequence; None if there are none.

    Raises:
        ProtocolError: names, sizes or bytes do not fit, or a number is not finite.
    """
    names = {part.name for part in fields(Features)}
    if not arrays.keys() <= names:
        raise ProtocolError(f"expected features among {sorted(names)}, got {sorted(arrays)}")
    if len({array.shape[:1] for array in arrays.values()}) > 1:
        raise ProtocolError(f"expected features of as many tokens each, got {[one.shape for one in arrays.values()]}")
    return Features(**{name: _decode(array, codec)[None] for name, array in arrays.items()}) if arrays else None


def token_bytes(features: Features, codec: str) -> int:
    """Count the bytes of one token's features."""
    parts = [getattr(features, part.name) for part in fields(Features)]
    return sum(_size(tuple(part.shape[2:]), codec) for part in parts if part is not None)


def _size(shape: tuple[int, ...], codec: str) -> int:
    width = prod(shape)
    return width * FLOATS[codec].itemsize if codec in FLOATS else INTEGERS[codec].sizes(width)[1]


def _encode(values: Float[Tensor, "K W"], codec: str) -> bytes:
    if codec in INTEGERS:
        return INTEGERS[codec].encode(values)
    limit = torch.finfo(FLOATS[codec]).max
    return values.float().clamp(-limit, limit).to(FLOATS[codec]).numpy().tobytes()


def _decode(array: Array, codec: str) -> Tensor:
    if len(array.shape) < 2 or min(array.shape) < 0:
        raise ProtocolError(f"expected the sizes of some tokens' numbers, got {array.shape}")
    expected = array.shape[0] * _size(array.shape[1:], codec)
    if len(array.data) != expected:
        raise ProtocolError(f"expected {expected} bytes of {codec} for {array.shape}, got {len(array.data)}")
    if not array.data:
        return torch.zeros(array.shape)
    data, width = torch.frombuffer(bytearray(array.data), dtype=torch.uint8), prod(array.shape[1:])
    whole = INTEGERS.get(codec)
    values = whole.decode(data.view(array.shape[0], -1), width) if whole else data.view(FLOATS[codec]).float()
    if not values.isfinite().all():
        raise ProtocolError(f"expected finite features, got others in {array.shape}")
    return values.view(array.shape)


def _pairs(whole: Int8[Tensor, "K W"]) -> UInt8[Tensor, "K _"]:
    """Put two numbers of four bits in a byte, the first one low."""
    padded = torch.nn.functional.pad(whole, (0, whole.shape[1] % 2)).view(torch.uint8) & 15
    return padded[:, ::2] | padded[:, 1::2] << 4


def _unpaired(coded: UInt8[Tensor, "K _"]) -> Int8[Tensor, "K W"]:
    halves = torch.stack([coded & 15, coded >> 4], -1).flatten(1).to(torch.int8)
    return halves - ((halves & 8) << 1)
