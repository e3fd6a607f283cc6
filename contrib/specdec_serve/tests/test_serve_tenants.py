"""Whoever has no good token gets nothing, and nothing is held for him."""

from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from unittest.mock import Mock

import httpx
import pytest
from serving import NAME, OTHER, RIGHT, TENANTS, listening, serving, target
from specdec_serve import WebSocket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from specdec import Decoder, Stop, Target
from specdec.drafters import NoDrafter
from specdec.errors import AccessDenied
from specdec.remote import Remote, Tenants
from specdec.remote.tenants import Ticket
from specdec.split.messages import Close, Open, encode, pack_tokens
from tests.waiting import wait_for


@pytest.mark.parametrize("token", ["", "wrong", f"{RIGHT}x"])
def test_nothing_is_held_for_who_has_none(token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with serving(target(), tenants=TENANTS) as service, listening(service) as server:
        host, service.host = service.host, Mock(wraps=service.host)
        root = f"http://{server.address}"
        body = {"model": NAME, "prompt": "abc"}
        replies = [
            httpx.post(f"{root}/v1/completions", json=body, headers=headers),
            httpx.post(f"{root}/v1/chat/completions", content=b"no JSON", headers=headers),
            httpx.get(f"{root}/v1/models", headers=headers),
            httpx.get(f"{root}/metrics", headers=headers),
        ]
        with pytest.raises(InvalidStatus) as caught:
            connect(f"ws://{server.address}/v1/split", additional_headers=headers).close()

        assert {reply.status_code for reply in replies} == {401}
        assert caught.value.response.status_code == 403
        assert len({reply.text for reply in replies[:3]}) == 1
        assert service.host.submit.mock_calls == service.host.connect.mock_calls == []
        assert not host.server.connections
        assert httpx.get(f"{root}/healthz").status_code == 200


def test_a_token_that_expires_ends_its_lines() -> None:
    """At the next message; the client is told what a new one without a valid token is told."""
    past = datetime(2020, 1, 1, tzinfo=UTC)
    with serving(target(), tenants=TENANTS) as service, listening(service) as server:
        remote = Remote(partial(WebSocket.to, f"ws://{server.address}", RIGHT), patience=60.0)
        decoder = Decoder(NoDrafter(), remote)
        assert decoder.generate([5, 6, 7], stop=Stop(2)).tokens
        service.tenants = Tenants((Ticket("alice", RIGHT, past), *Tenants.of({OTHER: "bob"}).tickets))
        with pytest.raises(AccessDenied):
            decoder.generate([5, 6, 7], stop=Stop(2))
        wait_for(lambda: not service.host.server.connections)


@pytest.mark.parametrize(
    ("origin", "served"),
    [
        ("http://localhost:3000", True),
        ("http://127.0.0.1", True),
        ("https://[::1]:8443", True),
        ("https://example.org", False),
        ("http://localhost.example.org", False),
        ("null", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_without_tokens_only_pages_of_this_machine_are_served(origin: str, served: bool) -> None:
    """A browser would send what any page wants to a server on its user's machine."""
    headers, body = {"Origin": origin}, {"model": NAME, "prompt": "abc", "messages": [], "max_tokens": 1}
    with serving(target()) as service, listening(service) as server:
        for path in ("completions", "chat/completions"):
            reply = httpx.post(f"http://{server.address}/v1/{path}", json=body, headers=headers, timeout=60)
            assert (reply.status_code == 403) is not served
            assert ("--token-file" in reply.json().get("error", {}).get("message", "")) is not served
        address, met = f"ws://{server.address}/v1/split", nullcontext() if served else pytest.raises(InvalidStatus)
        with met, connect(address, additional_headers=headers):
            assert served


def test_with_tokens_a_page_needs_one_wherever_it_comes_from() -> None:
    headers = {"Origin": "https://example.org", "Authorization": f"Bearer {RIGHT}"}
    with serving(target(), tenants=TENANTS) as service, listening(service) as server:
        assert httpx.get(f"http://{server.address}/v1/models", headers=headers).status_code == 200
        with connect(f"ws://{server.address}/v1/split", additional_headers=headers):
            pass


def test_another_tenants_session_is_out_of_reach() -> None:
    """Whoever knows its id opens one of his own by it; the first continues."""
    model = target()
    expected = Decoder(NoDrafter(), model).generate([5, 6, 7], stop=Stop(20)).tokens[0]
    with (
        serving(Target(model.model, tokenizer=model.tokenizer), tenants=TENANTS) as service,
        listening(service) as server,
    ):
        mine, theirs = (Remote(partial(WebSocket.to, f"ws://{server.address}", token)) for token in (RIGHT, OTHER))
        first = Decoder(NoDrafter(), mine).stream([5, 6, 7], stop=Stop(20))
        tokens = next(first).tokens[0]
        (sid,) = mine.link.client.texts
        for sent in (Open(sid, 0, pack_tokens([9, 9]), {}, (), (), (), False, "", "float32", None), Close(sid, 0)):
            theirs.link.client.outbox.append(encode(sent))
            theirs.link.flush()
            httpx.get(f"http://{server.address}/healthz")
        tokens += [token for step in first for token in step.tokens[0]]
        mine.close()
        theirs.close()

    assert tuple(tokens) == expected
