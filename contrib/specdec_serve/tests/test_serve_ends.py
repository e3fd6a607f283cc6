"""Nothing is left of those who leave, and nobody is cut off by a server that stops."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import count
from signal import SIGTERM
from threading import Event
from time import sleep
from typing import Any

import httpx
import pytest
from serving import NAME, listening, plain, serving, target
from specdec_serve import Service, WebSocket
from specdec_serve.openai import GONE, OpenAI
from starlette.requests import Request

from specdec import Decoder, Sampling, Stop
from specdec.drafters import NoDrafter
from specdec.errors import ConnectionLost, TransportError
from specdec.remote import Remote
from tests.waiting import wait_for

BODY = {"model": NAME, "prompt": [5, 6, 7], "temperature": 1, "seed": 3, "max_tokens": 400}


@pytest.fixture
def service() -> Iterator[Service]:
    with serving(target(), at_once=2) as service:
        yield service


def idle(service: Service) -> bool:
    """Whether nobody is there, and all drafters are back; sessions are closed, unless the server stops anyway."""
    turns, server = service.turns, service.host.server
    held = turns.running or turns.waiting.total() or server.connections or (len(server.store) and not server.draining)
    return not held and service.drafting.drafters.qsize() == turns.at_once


@pytest.mark.parametrize("stream", [True, False])
def test_nothing_is_left_of_a_client_who_goes_away(service: Service, stream: bool) -> None:
    with listening(service) as server, httpx.Client(base_url=f"http://{server.address}") as client:
        for _ in range(5):
            if stream:
                with client.stream("POST", "/v1/completions", json={**BODY, "stream": True}) as reply:
                    assert next(reply.iter_lines()).startswith("data: {")
            else:
                with pytest.raises(httpx.ReadTimeout):
                    client.post("/v1/completions", json=BODY, timeout=0.02)  # hundreds of passes take longer
        wait_for(lambda: idle(service))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("sent", [1.0, 0.5])
def test_a_client_who_goes_away_is_counted(service: Service, stream: bool, sent: float) -> None:
    """By the status 499, if nothing was answered yet, nor all of the request sent."""
    body = json.dumps({**BODY, "stream": stream}).encode()
    part = {"type": "http.request", "body": body[: round(len(body) * sent)], "more_body": sent < 1}
    arriving = [{"type": "http.disconnect"}, part]

    async def receive() -> Any:
        return arriving.pop()

    scope = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": []}
    reply = asyncio.run(OpenAI(service).completions(Request(scope, receive)))

    assert reply.status_code == GONE
    assert 'specdec_requests_total{model_name="toy",status="499"} 1.0' in service.metrics.text().decode()


def test_overload_is_said_and_who_was_let_in_finishes(service: Service) -> None:
    service.turns.tenant_waiting = 1
    expected, _ = plain(target(), BODY["prompt"], Sampling(temperature=1.0, seed=3), Stop(400))
    with listening(service) as server, ThreadPoolExecutor(12) as pool:
        replies = list(
            pool.map(lambda _: httpx.post(f"http://{server.address}/v1/completions", json=BODY, timeout=60), range(12))
        )

    refused = [reply for reply in replies if reply.status_code != 200]
    assert refused
    assert {reply.status_code for reply in refused} == {429}
    assert {reply.headers["Retry-After"] for reply in refused} == {"1"}
    assert {reply.json()["choices"][0]["text"] for reply in replies if reply.status_code == 200} == {expected}


def test_a_server_that_stops_lets_answers_finish(service: Service) -> None:
    expected, _ = plain(target(), BODY["prompt"], Sampling(temperature=1.0, seed=3), Stop(400))
    passes, refused_all = count(), Event()

    def hold(*_: object) -> None:
        if next(passes) > 20:
            refused_all.wait(60)

    service.target.model.register_forward_pre_hook(hold)
    with (
        listening(service, grace=60.0) as server,
        httpx.Client(base_url=f"http://{server.address}", timeout=60) as client,
    ):
        remote = Remote(partial(WebSocket.to, f"ws://{server.address}"), patience=2.0)
        with client.stream("POST", "/v1/completions", json={**BODY, "stream": True}) as reply:
            lines = reply.iter_lines()
            text = [next(lines)]
            server.handle_exit(SIGTERM, None)
            assert httpx.get(f"http://{server.address}/readyz", timeout=60).status_code == 503
            assert httpx.get(f"http://{server.address}/healthz", timeout=60).status_code == 200
            refused = httpx.post(f"http://{server.address}/v1/completions", json=BODY, timeout=60)
            with pytest.raises(ConnectionLost, match="503"):
                WebSocket.to(f"ws://{server.address}")
            refused_all.set()
            text += list(lines)

        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        pieces = [json.loads(line[6:])["choices"][0]["text"] for line in text if line.startswith("data: {")]
        assert "".join(pieces) == expected
        wait_for(lambda: service.host.server.draining)
        with pytest.raises(TransportError):
            Decoder(NoDrafter(), remote).generate([1, 2], stop=Stop(5))


def test_a_second_signal_ends_it_at_once(service: Service) -> None:
    with (
        listening(service, grace=600.0) as server,
        httpx.stream("POST", f"http://{server.address}/v1/completions", json={**BODY, "stream": True}) as reply,
    ):
        next(reply.iter_lines())
        server.handle_exit(SIGTERM, None)
        server.handle_exit(SIGTERM, None)
        with suppress(httpx.TransportError, httpx.StreamConsumed):
            reply.read()
    wait_for(lambda: idle(service))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("signals", [1, 2])
def test_who_has_not_finished_in_time_is_told_so(service: Service, stream: bool, signals: int) -> None:
    """By an error in OpenAI's form, and nothing is left of him; a second signal ends the time."""
    passes = list[int]()

    def slow(*_: object) -> None:
        passes.append(len(passes))
        sleep(0.2 if len(passes) > 9 else 0.0)

    service.target.model.register_forward_pre_hook(slow)
    endless = {**BODY, "stream": stream, "logit_bias": {13: -100}}  # 13 ends a text
    with (
        listening(service, grace=0.2 if signals == 1 else 600.0) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        posting = pool.submit(httpx.post, f"http://{server.address}/v1/completions", json=endless, timeout=60)
        wait_for(lambda: len(passes) > 9)
        for _ in range(signals):
            server.handle_exit(SIGTERM, None)
        reply = posting.result()

    found = json.loads(reply.text.strip().splitlines()[-1].removeprefix("data: "))
    assert found == {
        "error": {"message": "the server is stopping; try another", "type": "overloaded", "param": None, "code": None}
    }
    assert reply.status_code == (200 if stream else 503)
    wait_for(lambda: idle(service))
