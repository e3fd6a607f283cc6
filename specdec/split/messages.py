"""The messages of client and server: msgpack arrays whose first entry is the tag of their type.

Fields are only ever appended, with defaults, and tags are never reused; incompatible changes increase `VERSION`.
Token ids are packed as 4 bytes each, little-endian. Each message is followed by its CRC-32, also little-endian.
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
"""Bytes of a session's random id."""


class Code(StrEnum):
    """Why a message was refused."""

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
    """Features of consecutive tokens in the session's codec; the first dimension counts the tokens."""

    shape: tuple[int, ...]
    data: bytes


class Hello(Message, frozen=True, tag=1):
    """A client's first message: the range of versions that it knows."""

    oldest: int
    newest: int


class Welcome(Message, frozen=True, tag=2):
    """The answer to `Hello`: the version to be used, what the target is, and the server's limits.

    `encoders` are digests of the server's encoders; the hashes are of the target's vocabulary and of its weights.
    """

    version: int
    codecs: tuple[str, ...]
    vocab_size: int
    max_length: int | None
    length_advice: str
    end_tokens: tuple[int, ...]
    tokenizer_hash: str
    encoders: tuple[str, ...]
    most_nodes: int
    most_bytes: int
    target_hash: str = ""


class Open(Message, frozen=True, tag=3):
    """Open a session, or continue it from the client's tokens; repeating the message changes nothing.

    Features are wanted of the last `window` tokens before the root, which is the last token; None means of all.
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
    """The session is open in this epoch; `warm` if its tokens need not be read again."""

    sid: bytes
    epoch: int
    warm: bool


class Verify(Message, frozen=True, tag=5):
    """Verify a tree after `base` decided tokens with the hash `prefix`; the root has no entry in `parents`."""

    sid: bytes
    epoch: int
    base: int
    prefix: bytes
    tokens: bytes
    parents: bytes
    deadline_ms: int
    burst: int = 0
    """Answers that may follow this one before the next tree comes."""


class Verified(Message, frozen=True, tag=6):
    """The tokens decided after `base`, the hash of the text with them, and features of the tokens just read."""

    sid: bytes
    epoch: int
    base: int
    tokens: bytes
    prefix: bytes
    features: dict[str, Array]


class Read(Message, frozen=True, tag=7):
    """Features of the prompt from token `start` on; without any, a sign of life while the prompt is read."""

    sid: bytes
    epoch: int
    start: int
    features: dict[str, Array]


class Close(Message, frozen=True, tag=8):
    """Close a session."""

    sid: bytes
    epoch: int


class Refused(Message, frozen=True, tag=9):
    """A message was refused; `epoch` is the server's own, `retry_ms` the milliseconds after which to try again."""

    code: Code
    detail: str
    sid: bytes = b""
    epoch: int = 0
    base: int = 0
    retry_ms: int = 0


class GoAway(Message, frozen=True, tag=10):
    """The server accepts nothing new, and closes the connection after `grace_ms` milliseconds."""

    grace_ms: int


FromClient = Hello | Open | Verify | Close
FromServer = Welcome | Opened | Verified | Read | Refused | GoAway

_encode = msgspec.msgpack.Encoder().encode
_from_client: Decoder[FromClient] = Decoder(FromClient)
_from_server: Decoder[FromServer] = Decoder(FromServer)
T = TypeVar("T")


def encode(message: Message) -> bytes:
    """Encode a message, with its checksum."""
    return seal(_encode(message))


def seal(data: bytes) -> bytes:
    """Append the checksum; the hash of the text does not cover sampling options or end tokens."""
    return data + crc32(data).to_bytes(4, "little")


def read_from_client(data: bytes) -> FromClient:
    """Decode a client's message.

    Raises:
        ConnectionLost: its checksum is wrong.
        ProtocolError: it is not a valid message of a client's.
    """
    return _decode(_from_client, data)


def read_from_server(data: bytes) -> FromServer:
    """Decode a server's message; raises the same errors."""
    return _decode(_from_server, data)


def pack_tokens(tokens: list[int]) -> bytes:
    """Encode token ids."""
    return np.asarray(tokens, "<u4").tobytes()


def unpack_tokens(data: bytes) -> list[int]:
    """Decode token ids.

    Raises:
        ProtocolError: the length is not a multiple of 4 bytes.
    """
    if len(data) % 4:
        raise ProtocolError(f"expected token ids of 4 bytes each, got {len(data)} bytes")
    return list(np.frombuffer(data, "<u4").tolist())


def _decode(decoder: Decoder[T], data: bytes) -> T:
    if seal(data[:-4]) != data:
        raise ConnectionLost(f"the line has corrupted a message: {len(data)} bytes do not fit their checksum")
    try:
        return decoder.decode(data[:-4])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"expected a message of version {VERSION}, got {len(data)} bytes: {error}") from error
