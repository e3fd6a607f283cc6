"""Whoever has no good token gets nothing, and nothing is held for him."""

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest
from serving import NAME, OTHER, RIGHT, TENANTS, listening, serving, target
from specdec_serve import Tenants, WebSocket
from specdec_serve.tenants import Ticket
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from specdec import Decoder, OptionError, Stop, Target
from specdec.drafters import NoDrafter
from specdec.remote import Remote
from specdec.split.messages import Close, Open, encode, pack_tokens

LONG = "a-long-token-of-someone"
HOUR = timedelta(hours=1)


@pytest.mark.parametrize("expires", [None, datetime.now(UTC) + HOUR])
def test_a_good_token_says_who_it_is(expires: datetime | None) -> None:
    tenants = Tenants((Ticket("one", LONG, expires), Ticket("two", f"{LONG}-else")))

    assert tenants.find(f"Bearer {LONG}") == "one"
    assert tenants.find(f"bearer  {LONG}-else ") == "two"


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", "Bearer ", LONG, f"Basic {LONG}", f"Bearer {LONG}x", "Bearer \xe9"]
)
def test_any_other_does_not(given: str | None) -> None:
    assert Tenants((Ticket("one", LONG),)).find(given) is None


def test_a_token_expires() -> None:
    assert Tenants((Ticket("one", LONG, datetime.now(UTC) - HOUR),)).find(f"Bearer {LONG}") is None


def test_without_tokens_anyone_may_come() -> None:
    assert Tenants().find(None) == ""


def test_a_file_has_a_table_for_each(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(
        f'[one]\ntoken = "{LONG}-1"\nexpires = 2100-01-02\n[two]\ntoken = "{LONG}-2"\n'
        f'[three]\ntoken = "{LONG}-3"\nexpires = 2100-01-02T03:04:05+01:00'
    )

    assert Tenants.read(file).tickets == (
        Ticket("one", f"{LONG}-1", datetime(2100, 1, 2, tzinfo=UTC)),
        Ticket("two", f"{LONG}-2"),
        Ticket("three", f"{LONG}-3", datetime(2100, 1, 2, 2, 4, 5, tzinfo=UTC)),
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[one",
        "one = 3",
        "[one]",
        "[one]\ntoken = 3",
        '[one]\ntoken = "short"',
        f'[one]\ntoken = "{LONG} blank"',
        f'[one]\ntoken = "{LONG}"\nexpires = "soon"',
        f'[one]\ntoken = "{LONG}"\nsecret = 1',
        f'[one]\ntoken = "{LONG}"\n[two]\ntoken = "{LONG}"',
    ],
)
def test_any_other_file_is_refused_without_a_word_of_its_tokens(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(text)

    with pytest.raises(OptionError) as caught:
        Tenants.read(file)
    assert LONG not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="TOML file of tokens"):
        Tenants.read(tmp_path / "none.toml")


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
