"""Features as bytes: integers take a quarter of the room or less, and lost precision only costs acceptance."""

from math import prod

import torch
from attrs import fields
from jaxtyping import Float
from torch import Tensor

from specdec.errors import ProtocolError
from specdec.features import Features
from specdec.integers import Integers
from specdec.split.messages import Array

FLOATS = {"float32": torch.float32, "float16": torch.float16}
INTEGERS = {"int8": Integers(8, 128), "int4": Integers(4, 32)}
CODECS = (*FLOATS, *INTEGERS)


def encode_features(features: Features, codec: str) -> dict[str, Array]:
    """Encode the features of one sequence; nothing if any of them is not finite."""
    parts = {part.name: getattr(features, part.name) for part in fields(Features)}
    rows = {name: part[0].detach().cpu() for name, part in parts.items() if part is not None}
    if not all(row.isfinite().all() for row in rows.values()):
        return {}
    return {name: Array(tuple(row.shape), _encode(row.flatten(1), codec)) for name, row in rows.items()}


def decode_features(arrays: dict[str, Array], codec: str) -> Features | None:
    """Decode the features of one sequence; None if there are none.

    Raises:
        ProtocolError: names, shapes or sizes are wrong, or a number is not finite.
    """
    names = {part.name for part in fields(Features)}
    if not arrays.keys() <= names:
        raise ProtocolError(f"expected features among {sorted(names)}, got {sorted(arrays)}")
    if len({array.shape[:1] for array in arrays.values()}) > 1:
        raise ProtocolError(f"expected features of as many tokens each, got {[one.shape for one in arrays.values()]}")
    return Features(**{name: _decode(array, codec)[None] for name, array in arrays.items()}) if arrays else None


def token_bytes(features: Features, codec: str) -> int:
    """Bytes that the features of one token take."""
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
