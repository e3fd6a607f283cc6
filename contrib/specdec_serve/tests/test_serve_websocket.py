"""The transport keeps its promises, and a target reached by it says what it says here."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from threading import Event, Thread
from typing import Any

import pytest
from serving import RIGHT, TENANTS, listening, serving, target
from specdec_serve import WebSocket
from websockets.sync.server import serve

from specdec import Decoder, OptionError, Sampling, Stop, Target, Transport, load_drafter
from specdec.errors import AccessDenied, ConnectionLost
from specdec.remote import Remote
from specdec.testing import check_transport
from tests.split.at_once import check_at_once


def test_it_is_a_transport() -> None:
    """Both ends are of the same library here."""
    made, over = Queue[Any](), Event()

    def hold(connection: Any) -> None:
        made.put(connection)
        over.wait()

    with serve(hold, "127.0.0.1", 0, compression=None, max_size=2**26, close_timeout=0.5) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        port = server.socket.getsockname()[1]

        def ends() -> tuple[Transport, Transport]:
            return WebSocket.to(f"ws://127.0.0.1:{port}/"), WebSocket(made.get())

        check_transport(ends)
        check_at_once(ends)
        over.set()
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def model() -> Target:
    return target()


@pytest.fixture(scope="module")
def address(model: Target) -> Iterator[str]:
    with (
        serving(Target(model.model, tokenizer=model.tokenizer), tenants=TENANTS) as service,
        listening(service) as server,
    ):
        yield f"ws://{server.address}"


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_target_on_a_server_says_what_it_says_here(model: Target, address: str, temperature: float) -> None:
    remote = Remote(lambda: WebSocket.to(address, token=RIGHT), model.tokenizer)
    prompts, sampling, stop = [[1, 2, 3], [4, 5]], Sampling(temperature=temperature, seed=3), Stop(max_tokens=30)
    with Decoder(load_drafter("ngram"), remote) as decoder:
        found = decoder.generate(prompts, sampling, stop)

    assert found.tokens == Decoder(load_drafter("none"), model).generate(prompts, sampling, stop).tokens


def test_sixteen_clients_at_once(model: Target, address: str) -> None:
    """Half of them sampled; the server's passes are shared."""

    def generate(number: int) -> tuple[int, ...]:
        with Decoder(
            load_drafter("ngram"), Remote(lambda: WebSocket.to(address, token=RIGHT), model.tokenizer)
        ) as decoder:
            return decoder.generate(prompts[number], samplings[number], Stop(24)).tokens[0]

    prompts, samplings = [[number, 2, 3] for number in range(16)], [Sampling(float(n % 2), seed=n) for n in range(16)]
    with ThreadPoolExecutor(16) as pool:
        found = tuple(pool.map(generate, range(16)))

    assert found == Decoder(load_drafter("none"), model).generate(prompts, samplings, Stop(24)).tokens


@pytest.mark.parametrize("token", ["", "wrong", RIGHT[:-1], RIGHT + "t"])
def test_who_has_no_token_is_not_let_in(address: str, token: str) -> None:
    with pytest.raises(AccessDenied, match=r"got (none; --token-file|the one given).*403"):
        WebSocket.to(address, token=token)


def test_an_address_is_a_url() -> None:
    no_names = "ws://a..b:8000", f"ws://{'a' * 64}:8000"
    no_ports = "ws://host:99999", "ws://host:0", "ws://host:port"
    for address in ("http://host", "ws:", "ws://[host", *no_ports, *no_names):
        with pytest.raises(OptionError, match="a URL"):
            WebSocket.to(address)
    with pytest.raises(ConnectionLost, match="expected a server"):
        WebSocket.to("ws://127.0.0.1:9", timeout=1.0)


def test_an_address_may_have_a_query(address: str) -> None:
    WebSocket.to(f"{address}?by=proxy", token=RIGHT).close()
    WebSocket.to(f"{address}/?by=proxy", token=RIGHT).close()


@pytest.mark.parametrize("token", ["alice\nsecret", "alice-secret\r", "alice secret", "alice\0secret", "secrét"])
def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(
    address: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OptionError, match="expected a token") as error:
        WebSocket.to(address, token=token)
    assert "secr" not in str(error.value)
    if "\0" not in token:
        monkeypatch.setenv("SPECDEC_TOKEN", token)
        with pytest.raises(OptionError, match="expected a token"):
            WebSocket.to(address)
