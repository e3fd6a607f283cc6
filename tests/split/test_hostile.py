"""Whatever a peer sends: the protocol's own errors, no more than the limits, and nobody else's session."""

from collections.abc import Iterator
from queue import Empty

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from transformers import LogitsProcessor

from specdec import Tree
from specdec.errors import ConnectionLost, ModelError, ProtocolError
from specdec.plugins import Entry, plugins
from specdec.split import Client, Limits, Server
from specdec.split.messages import (
    ID,
    Array,
    Close,
    Code,
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
    pack_tokens,
    read_from_server,
    seal,
)
from specdec.split.prefix_hash import PrefixHash
from specdec.split.record import Connection
from specdec.split.text import RemoteText
from tests.remote.hosts import toy

SID = b"s" * ID
PROMPT = [1, 2, 3]
OPEN = Open(SID, 1, pack_tokens(PROMPT), {}, (), (), (), False, "", "float16", None)


def verify(tree: Tree | None = None, base: int = 3, epoch: int = 1, sid: bytes = SID, **changes: bytes) -> Verify:
    fields = {"tokens": pack_tokens([3]), "parents": b"", "prefix": PrefixHash(PROMPT).digest, **changes}
    return Verify(sid, epoch, base, fields["prefix"], fields["tokens"], fields["parents"], 1000)


class Peer:
    """A line to a server, and what came back by it."""

    def __init__(self, server: Server, tenant: str = "one") -> None:
        self.server, self.got = server, list[Message]()
        self.line = Connection(lambda data: self.got.append(read_from_server(data)), tenant)
        server.connect(self.line)

    def say(self, *messages: Message | bytes) -> list[Message]:
        self.got.clear()
        for message in messages:
            self.server.receive(self.line, seal(message) if isinstance(message, bytes) else encode(message))
        while self.server.tick():
            pass
        return self.got


@pytest.fixture(scope="module")
def server() -> Server:
    return Server.of(toy(), limits=Limits(message_bytes=4096, nodes=8, sessions=4, tenant_sessions=2, tenant_tokens=64))


@pytest.fixture
def peer(server: Server) -> Iterator[Peer]:
    peer = Peer(server)
    peer.say(Hello(1, 1))
    yield peer
    server.store.forget(list(server.store.records))


def codes(messages: list[Message]) -> list[Code | str]:
    return [message.code if isinstance(message, Refused) else type(message).__name__ for message in messages]


VALID = [encode(one)[:-4] for one in (Hello(1, 1), OPEN, verify(), Close(SID, 1))]
"""Without their checksums, which a hostile peer makes itself."""


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.tuples(st.sampled_from(VALID), st.integers(0, 10**6), st.integers(0, 255)))
def test_a_server_takes_any_bytes(server: Server, noise: bytes | tuple[bytes, int, int]) -> None:
    """Random bytes, and messages of which one byte is another."""
    if not isinstance(noise, bytes):
        data, place, byte = noise
        place %= len(data)
        noise = data[:place] + bytes([byte]) + data[place + 1 :]
    peer = Peer(server)
    peer.say(Hello(1, 1))
    peer.say(noise, VALID[1], noise)
    assert len(server.store) <= server.limits.sessions
    server.store.forget(list(server.store.records))
    server.disconnect(peer.line)


def test_depth_bombs_and_false_lengths_are_refused(peer: Peer) -> None:
    for data in (b"\x91" * 4000, b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x93\x05" + b"\x91" * 3000):
        assert codes(peer.say(data)) == [Code.PROTOCOL]


def test_too_many_bytes_are_not_even_read(peer: Peer) -> None:
    assert codes(peer.say(encode(OPEN)[:-4] + b"\0" * 5000)) == [Code.PROTOCOL]


def test_it_says_hello_first_and_a_version_that_there_is(server: Server) -> None:
    peer = Peer(server)
    assert codes(peer.say(OPEN)) == [Code.PROTOCOL]
    assert codes(peer.say(Hello(2, 9))) == [Code.VERSION]
    assert codes(peer.say(OPEN)) == [Code.PROTOCOL]


@pytest.mark.parametrize(
    "wrong",
    [
        {"tokens": pack_tokens([4])},  # another root
        {"tokens": pack_tokens([3, 10**6]), "parents": b"\0"},  # outside the vocabulary
        {"tokens": pack_tokens([3, 5]), "parents": b"\1"},  # its own parent
        {"tokens": pack_tokens([3, 5]), "parents": b""},  # a parent is missing
        {"tokens": pack_tokens([3] * 9), "parents": b"\0" * 8},  # too many nodes
        {"tokens": b"", "parents": b""},
        {"tokens": b"abc", "parents": b""},
    ],
)
def test_a_wrong_tree_is_refused_and_changes_nothing(peer: Peer, wrong: dict[str, bytes]) -> None:
    peer.say(OPEN)
    assert codes(peer.say(verify(**wrong))) == [Code.TREE]
    assert codes(peer.say(verify())) == ["Verified"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"tokens": pack_tokens([])},
        {"tokens": pack_tokens([10**6])},
        {"tokens": pack_tokens([1] * 200)},
        {"sampling": {"temperature": -1}},
        {"sampling": {"temperature": "hot"}},
        {"sampling": {"processors": [1]}},
        {"sampling": {"span": 3}},
        {"sampling": {"bad_words_ids": [[[[1]]]]}},
        {"processors": (("no such", {}),)},
        {"processors": (("a:/etc/passwd", {}),)},
        {"hidden_states": (99,)},
        {"hidden_states": (0,) * 500},  # each would be a tensor of the features
        {"hidden_states": (2, -1)},  # the same
        {"keys_values": (1, 0, 1)},
        {"encoder": "mine"},
        {"codec": "zip"},
    ],
)
def test_what_cannot_be_opened_is_refused(peer: Peer, wrong: dict[str, object]) -> None:
    changed = Open(**{name: wrong.get(name, getattr(OPEN, name)) for name in OPEN.__struct_fields__})  # type: ignore[arg-type]
    (refusal,) = peer.say(changed)
    assert isinstance(refusal, Refused)
    assert refusal.code in (Code.OPTION, Code.PROMPT)
    assert len(peer.server.store) == 0


@pytest.mark.parametrize("error", [RuntimeError("/a/secret/path"), ModelError("a model's"), Empty()])
def test_a_processor_that_cannot_be_made_is_refused(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def grammar() -> LogitsProcessor:
        raise error

    monkeypatch.setitem(plugins()._entries, ("processor", "grammar"), Entry("processor", "grammar", grammar, ""))

    (refusal,) = peer.say(replace(OPEN, processors=(("grammar", {}),)))

    assert isinstance(refusal, Refused)
    assert refusal.code is Code.OPTION
    assert "secret" not in refusal.detail


def test_another_tenant_s_session_does_not_exist(peer: Peer) -> None:
    peer.say(OPEN)
    other = Peer(peer.server, "two")
    other.say(Hello(1, 1))

    assert codes(other.say(verify())) == codes(other.say(verify(sid=b"x" * ID))) == [Code.UNKNOWN]
    assert other.say(Close(SID, 9)) == []
    assert codes(other.say(OPEN)) == ["Opened"]  # one of its own, of the same name
    assert codes(peer.say(verify())) == ["Verified"]
    assert other.got == [Opened(SID, 1, False)]


def test_sessions_and_tokens_stay_within_the_limits(peer: Peer) -> None:
    for number in range(9):
        opened = Open(bytes([number]) * ID, 1, pack_tokens([1] * 20), {}, (), (), (), False, "", "float16", None)
        assert codes(peer.say(opened)) == ["Opened"]
        own = peer.server.store.of("one")
        assert len(own) <= 2
        assert sum(record.base for record in own) <= 64


def test_old_lines_and_repeated_steps(peer: Peer) -> None:
    """A repeated step is answered again with the same bytes; an older epoch counts for nothing."""
    peer.say(OPEN)
    (first,), (again,) = list(peer.say(verify())), list(peer.say(verify()))
    assert first == again
    peer.say(Open(**{**{name: getattr(OPEN, name) for name in OPEN.__struct_fields__}, "epoch": 2}))

    assert codes(peer.say(verify())) == [Code.STALE]
    (renewed,) = peer.say(verify(epoch=2))
    assert isinstance(first, Verified)
    assert isinstance(renewed, Verified)
    assert (renewed.epoch, renewed.tokens) == (2, first.tokens)
    assert codes(peer.say(verify(epoch=2, base=4, prefix=b"x" * 16))) == [Code.BASE]


FROM_SERVER = [
    Welcome(1, ("float16",), 56, 128, "", (), "", (), 8, 4096),
    Opened(SID, 1, False),
    Verified(SID, 1, 3, pack_tokens([5]), PrefixHash([*PROMPT, 5]).digest, {"hidden": Array((1, 2, 2), b"\0" * 8)}),
    Read(SID, 1, 0, {"hidden": Array((1, 2, 2), b"\0" * 8)}),
    Refused(Code.BASE, "", SID, 1, 3),
]


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from([encode(one)[:-4] for one in FROM_SERVER]), st.integers(0, 10**6), st.binary(min_size=1, max_size=3)
)
def test_a_client_takes_any_bytes(data: bytes, place: int, noise: bytes) -> None:
    client = Client()
    text = RemoteText(OPEN, [*PROMPT])
    client.join(text)
    client.begin()
    client.ask(text, Tree.root(3), 1.0)
    place %= len(data)
    try:
        client.receive(seal(data[:place] + noise + data[place + len(noise) :]), 0.0)
    except (ProtocolError, ConnectionLost):
        assert text.tokens == PROMPT
    for part in text.parts:
        assert part.features.count < 10**4
    assert text.tokens == PROMPT  # until it is taken


@pytest.mark.parametrize(
    "arrays",
    [
        {"hidden": Array((10**9, 10**9), b"")},
        {"hidden": Array((-1, 4), b"")},
        {"hidden": Array((2,), b"\0" * 4)},
        {"hidden": Array((1, 2), b"\0" * 3)},
        {"hidden": Array((1, 1), b"\0\x7e")},  # NaN
        {"encoded": Array((1, 1), b"\0\0"), "hidden": Array((2, 1), b"\0\0\0\0")},
        {"weights": Array((1, 1), b"\0\0")},
    ],
)
def test_features_that_are_none_are_refused(arrays: dict[str, Array]) -> None:
    with pytest.raises(ProtocolError):
        RemoteText(OPEN, [*PROMPT]).learn(0, arrays)


def test_the_server_takes_no_tensor() -> None:
    """Nothing that a client may send has room for one."""
    fields = {field for kind in (Hello, Open, Verify, Close) for field in kind.__annotations__.values()}
    assert Array not in fields
    assert not any("Array" in str(field) or "Tensor" in str(field) for field in fields)
