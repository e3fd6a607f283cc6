"""Whoever has no good token gets nothing, and nothing is held for him."""

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
from specdec.remote import Remote
from specdec.split.messages import Close, Open, encode, pack_tokens


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
