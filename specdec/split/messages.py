"""What client and server say to each other: msgpack arrays, of which the first entry tells what kind it is.

Fields are only ever appended, with defaults, and no number is used twice; `VERSION` counts what is not compatible.
Token ids are bytes, four for each, little-endian. A CRC-32 follows each message, little-endian too.
"""

from enum import StrEnum
from typing import Any, TypeVar
from zlib import crc32

import msgspec
import numpy as np
from msgspec.msgpack import Decoder

from specdec.errors import ConnectionLost, ProtocolError

VERSION = 1
ID = 16
"""Bytes of a session's id, which is random."""


class Code(StrEnum):
    """Why something was refused."""

    VERSION = "version"
    PROTOCOL = "protocol"
    UNKNOWN = "unknown session"
    STALE = "stale epoch"
    BASE = "another base"
    TREE = "tree"
    PROMPT = "prompt"
    OPTION = "option"
    MODEL = "model"
    OVERLOADED = "overloaded"
    EXPIRED = "expired"
    DRAINING = "draining"
    INTERNAL = "internal"
    CORRUPT = "corrupt"


class Message(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """Anything that is sent."""


class Array(msgspec.Struct, frozen=True, array_like=True):
    """Numbers of some tokens, coded by the session's codec; the first size counts the tokens."""

    shape: tuple[int, ...]
    data: bytes


class Hello(Message, frozen=True, tag=1):
    """From a client, first of all: the versions that it knows."""

    oldest: int
    newest: int


class Welcome(Message, frozen=True, tag=2):
    """The server's answer: the version that was agreed on, what its target is, and what it takes.

    `encoders` are the digests of those that it has, `tokenizer` a hash of its vocabulary, `target` of its weights.
    """

    version: int
    codecs: tuple[str, ...]
    vocab_size: int
    max_length: int | None
    length_advice: str
    end_tokens: tuple[int, ...]
    tokenizer: str
    encoders: tuple[str, ...]
    most_nodes: int
    most_bytes: int
    target: str = ""


class Open(Message, frozen=True, tag=3):
    """Let a sequence join, or continue it from what the client has; said again, it changes nothing.

    Of the prompt's features the last `window` are wanted, or all.
    """

    sid: bytes
    epoch: int
    tokens: bytes
    sampling: dict[str, Any]
    processors: tuple[tuple[str, dict[str, Any]], ...]
    hidden_states: tuple[int, ...]
    keys_values: tuple[int, ...]
    only_last: bool
    encoder: str
    codec: str
    window: int | None


class Opened(Message, frozen=True, tag=4):
    """The session is there, in this epoch; `warm` if the target has read it before."""

    sid: bytes
    epoch: int
    warm: bool


class Verify(Message, frozen=True, tag=5):
    """Verify a tree that follows `base` tokens with this hash: its tokens and, but for the root's, parents."""

    sid: bytes
    epoch: int
    base: int
    prefix: bytes
    tokens: bytes
    parents: bytes
    deadline_ms: int
    burst: int = 0
    """Most answers that may follow without a tree, until the next one comes."""


class Verified(Message, frozen=True, tag=6):
    """The tokens that follow `base`, the hash of all then, and the features of the tokens before them."""

    sid: bytes
    epoch: int
    base: int
    tokens: bytes
    prefix: bytes
    features: dict[str, Array]


class Read(Message, frozen=True, tag=7):
    """Features of the prompt, of tokens from `start` on; none while it is being read, as a sign of life."""

    sid: bytes
    epoch: int
    start: int
    features: dict[str, Array]


class Close(Message, frozen=True, tag=8):
    """Let a sequence leave."""

    sid: bytes
    epoch: int


class Refused(Message, frozen=True, tag=9):
    """What was not done, and why; `epoch` is the server's own, `retry_ms` when it may be of use to ask again."""

    code: Code
    detail: str
    sid: bytes = b""
    epoch: int = 0
    base: int = 0
    retry_ms: int = 0


class GoAway(Message, frozen=True, tag=10):
    """The server takes nothing new, and ends the connection within this time."""

    grace_ms: int


FromClient = Hello | Open | Verify | Close
FromServer = Welcome | Opened | Verified | Read | Refused | GoAway

_encode = msgspec.msgpack.Encoder().encode
_from_client: Decoder[FromClient] = Decoder(FromClient)
_from_server: Decoder[FromServer] = Decoder(FromServer)
T = TypeVar("T")


def encode(message: Message) -> bytes:
    """Write a message."""
    return seal(_encode(message))


def seal(data: bytes) -> bytes:
    """Add a checksum: what a line changes would else be another sampling, or another end of a text."""
    return data + crc32(data).to_bytes(4, "little")


def read_from_client(data: bytes) -> FromClient:
    """Decode what a client sent.

    Raises:
        ConnectionLost: the line has changed it.
        ProtocolError: it is no message of a client's.
    """
    return _decode(_from_client, data)


def read_from_server(data: bytes) -> FromServer:
    """Decode what a server sent; raises the same errors."""
    return _decode(_from_server, data)


def pack_tokens(tokens: list[int]) -> bytes:
    """Write token ids."""
    return np.asarray(tokens, "<u4").tobytes()


def unpack_tokens(data: bytes) -> list[int]:
    """Read token ids.

    Raises:
        ProtocolError: they are cut off.
    """
    if len(data) % 4:
        raise ProtocolError(f"expected token ids of 4 bytes each, got {len(data)} bytes")
    return list(np.frombuffer(data, "<u4").tolist())


def _decode(decoder: Decoder[T], data: bytes) -> T:
    if seal(data[:-4]) != data:
        raise ConnectionLost(f"the line has changed what it carries: {len(data)} bytes do not fit their checksum")
    try:
        return decoder.decode(data[:-4])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"expected a message of version {VERSION}, got {len(data)} bytes: {error}") from error
