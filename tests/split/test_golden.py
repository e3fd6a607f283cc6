"""The bytes of version 1, which every later release reads and writes."""

from zlib import crc32

import pytest

from specdec.split.messages import (
    Array,
    Close,
    Code,
    GoAway,
    Hello,
    Message,
    Open,
    Opened,
    Read,
    Refused,
    Verified,
    Verify,
    Welcome,
    encode,
    read_from_client,
    read_from_server,
    seal,
)

GOLDEN: list[tuple[Message, str]] = [
    (Hello(oldest=1, newest=1), "93010101"),
    (
        Welcome(
            version=1,
            codecs=("float16", "int8"),
            vocab_size=56,
            max_length=128,
            length_advice="",
            end_tokens=(2,),
            tokenizer_hash="ab",
            encoders=("cd",),
            most_nodes=512,
            most_bytes=1048576,
            target_hash="ef",
        ),
        "9c020192a7666c6f61743136a4696e743838cc80a09102a2616291a26364cd0200ce00100000a26566",
    ),
    (
        Open(
            sid=b"0123456789abcdef",
            epoch=2,
            tokens=b"\x01\x00\x00\x00\x02\x00\x00\x00,\x01\x00\x00",
            sampling={"temperature": 0.5, "seed": 9223372036854775808},
            processors=(("p", {"a": 1}),),
            hidden_states=(-1,),
            keys_values=(0, 1),
            only_last=True,
            encoder="cd",
            codec="int8",
            window=128,
        ),
        "9c03c4103031323334353637383961626364656602c40c01000000020000002c01000082ab74656d7065726174757265cb3fe0000000000000a473656564cf80000000000000009192a17081a1610191ff920001c3a26364a4696e7438cc80",
    ),
    (Opened(sid=b"0123456789abcdef", epoch=2, warm=True), "9404c4103031323334353637383961626364656602c3"),
    (
        Verify(
            sid=b"0123456789abcdef",
            epoch=2,
            base=3,
            prefix=b"hhhhhhhhhhhhhhhh",
            tokens=b",\x01\x00\x00\x07\x00\x00\x00",
            parents=b"\x00",
            deadline_ms=10000,
        ),
        "9905c410303132333435363738396162636465660203c41068686868686868686868686868686868c4082c01000007000000c40100cd271000",
    ),
    (
        Verified(
            sid=b"0123456789abcdef",
            epoch=2,
            base=3,
            tokens=b"\x07\x00\x00\x00\t\x00\x00\x00",
            prefix=b"hhhhhhhhhhhhhhhh",
            features={"encoded": Array(shape=(2, 2), data=b"\x01\x02\x03\x04\x05\x06\x07\x08")},
        ),
        "9706c410303132333435363738396162636465660203c4080700000009000000c4106868686868686868686868686868686881a7656e636f64656492920202c4080102030405060708",
    ),
    (Read(sid=b"0123456789abcdef", epoch=2, start=0, features={}), "9507c41030313233343536373839616263646566020080"),
    (Close(sid=b"0123456789abcdef", epoch=2), "9308c4103031323334353637383961626364656602"),
    (
        Refused(code=Code.BASE, detail="why", sid=b"0123456789abcdef", epoch=2, base=3, retry_ms=100),
        "9709ac616e6f746865722062617365a3776879c41030313233343536373839616263646566020364",
    ),
    (GoAway(grace_ms=5000), "920acd1388"),
]


@pytest.mark.parametrize(("message", "data"), GOLDEN, ids=[type(message).__name__ for message, _ in GOLDEN])
def test_bytes_are_those_of_the_first_release(message: Message, data: str) -> None:
    sealed = bytes.fromhex(data) + crc32(bytes.fromhex(data)).to_bytes(4, "little")
    assert encode(message) == sealed
    read = read_from_client if isinstance(message, Hello | Open | Verify | Close) else read_from_server
    assert read(sealed) == message


def test_a_tree_of_the_first_release_asks_for_no_burst() -> None:
    message, data = next((message, data) for message, data in GOLDEN if isinstance(message, Verify))
    assert read_from_client(seal(bytes.fromhex("98" + data[2:-2]))) == message


def test_fields_that_a_later_release_appends_are_ignored() -> None:
    assert read_from_client(seal(bytes.fromhex("9401010107"))) == Hello(1, 1)


def test_the_checksum_is_the_usual_one() -> None:
    assert encode(Hello(1, 1)).hex() == "93010101" + "b6fa6fe1"
