"""What one client does, and what fails for it, costs no other client anything."""

from collections import Counter

import pytest
from msgspec.structs import replace
from torch import Tensor

from specdec.features import Encoder, Features
from specdec.split import Limits, Server
from specdec.split.messages import ID, Code, Hello, Read, encode, pack_tokens
from tests.remote.hosts import toy
from tests.split.test_hostile import OPEN, PROMPT, SID, Peer, codes, verify


@pytest.fixture
def peer() -> Peer:
    peer = Peer(Server.of(toy(), limits=Limits(sessions=4, tenant_sessions=2)))
    peer.say(Hello(1, 1))
    return peer


@pytest.mark.parametrize("wrong", [{"tokens": b""}, {"sampling": {"top_k": 0}}, {"hidden_states": (99,)}])
def test_what_cannot_be_opened_takes_no_other_s_room(peer: Peer, wrong: dict[str, object]) -> None:
    """Neither its own session of the same id, nor one of another tenant where the server is full."""
    peer.say(OPEN)
    for tenant, sids in (("two", (b"a" * ID, b"b" * ID)), ("three", (b"a" * ID,))):
        Peer(peer.server, tenant).say(Hello(1, 1), *[replace(OPEN, sid=sid) for sid in sids])
    before = list(peer.server.store.records)
    assert len(before) == peer.server.limits.sessions

    for sid in (SID, b"new" + SID[3:]):
        assert codes(peer.say(replace(OPEN, sid=sid, epoch=2, **wrong))) in ([Code.OPTION], [Code.PROMPT])

    assert list(peer.server.store.records) == before


class Failing(Encoder):
    """An encoder that takes other layers than a client may name."""

    def encode(self, features: Features) -> Tensor:
        raise RuntimeError("sizes of tensors do not fit")


def test_an_encoder_that_fails_for_one_session_costs_the_others_no_features(peer: Peer) -> None:
    """Whether their prompts are read to the end in the same pass, or only in the next one."""
    opened = replace(OPEN, hidden_states=(0,))
    other = Peer(peer.server, "two")
    other.say(Hello(1, 1))
    peer.server.encoders["failing"] = Failing()
    peer.server.chunk = 6  # the prompts have 2, 2 and 4 tokens before the root

    peer.server.receive(peer.line, encode(replace(opened, encoder="failing")))
    peer.server.receive(peer.line, encode(verify()))
    for sid, tokens in ((b"a" * ID, PROMPT), (b"b" * ID, [*PROMPT, 4, 5])):
        peer.server.receive(other.line, encode(replace(opened, sid=sid, tokens=pack_tokens(tokens))))
    other.say()
    read = Counter[bytes]()
    for message in other.got:
        if isinstance(message, Read) and message.features:
            read[message.sid] += message.features["hidden"].shape[0]

    assert read == {b"a" * ID: 2, b"b" * ID: 4}
    assert codes(peer.got)[-1] == Code.INTERNAL
    assert len(peer.server.store) == 2
