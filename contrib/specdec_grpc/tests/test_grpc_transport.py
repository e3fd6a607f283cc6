"""The transport keeps its promises, and a target that is reached by it says what it says here."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import grpc
import pytest
import trustme
from attrs import evolve, frozen
from specdec_grpc import Listener, Stream
from specdec_grpc.box import Box
from specdec_grpc.listener import handlers
from specdec_grpc.wire import ADMITTED, sizes

from specdec import Decoder, OptionError, Sampling, Stop, Target, Transport, load_drafter, load_transport
from specdec.drafters import NoDrafter
from specdec.errors import AccessDenied, ConnectionLost
from specdec.plugins import plugins
from specdec.remote import Host, Remote, Tenants
from specdec.split import Limits, Server
from specdec.split.messages import Hello, Welcome, encode, read_from_server
from specdec.testing import check_transport
from tests.remote.hosts import hosting, toy
from tests.split.at_once import check_at_once

STOP = Stop(max_tokens=24)


def test_it_is_a_transport() -> None:
    """Both ends are ours here; a server's listener has one that never waits for its client."""
    made = Queue[Stream]()

    def exchange(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        leaving = Box()
        context.send_initial_metadata(((ADMITTED, "1"),))
        made.put(Stream(requests, leaving))
        yield from leaving

    with ThreadPoolExecutor() as pool:
        server = grpc.server(pool, options=sizes(2**26))
        server.add_generic_rpc_handlers((handlers(exchange),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()

        def ends() -> tuple[Transport, Transport]:
            return Stream.to(f"grpc://127.0.0.1:{port}"), made.get()

        check_transport(ends)
        check_at_once(ends)
        server.stop(0.5).wait()


@pytest.fixture(scope="module")
def target() -> Target:
    return toy()


@pytest.fixture(scope="module")
def host(target: Target) -> Iterator[Host]:
    with hosting(Target(target.model), limits=Limits(message_bytes=4096)) as host:
        yield host


@pytest.fixture(scope="module")
def address(host: Host) -> Iterator[str]:
    listener = Listener(host, admit=Tenants.of({"right": "one", "other": "two"}).find)
    yield f"grpc://127.0.0.1:{listener.port}"
    listener.close()


def wanted(target: Target, prompts: list[list[int]], sampling: Sampling) -> Any:
    return Decoder(load_drafter("none"), target).generate(prompts, sampling, STOP).tokens


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_target_on_a_server_says_what_it_says_here(target: Target, address: str, temperature: float) -> None:
    prompts, sampling = [[1, 2, 3], [4, 5]], Sampling(temperature=temperature, seed=3)
    remote = Remote(lambda: load_transport("grpc", address, token="right"))
    with Decoder(load_drafter("ngram"), remote) as decoder:
        found = decoder.generate(prompts, sampling, STOP)

    assert found.tokens == wanted(target, prompts, sampling)


def test_sixteen_clients_get_the_target_s_own_texts(target: Target, host: Host, address: str) -> None:
    jobs = [([[number + 1, 2, 3]], Sampling(temperature=float(number % 2), seed=number)) for number in range(16)]
    found = dict[int, Any]()

    def work(number: int) -> None:
        remote = Remote(lambda: Stream.to(address, token=("right", "other")[number % 2]), patience=60.0)
        with Decoder(load_drafter("ngram"), remote) as decoder:
            found[number] = decoder.generate(*jobs[number], STOP).tokens

    threads = [Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [found[number] for number in range(16)] == [wanted(target, *job) for job in jobs]


@pytest.mark.parametrize("token", ["none", "wrong", "other!", "right!"])
def test_who_has_no_token_is_not_let_in(host: Host, address: str, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    handed = list[object]()
    monkeypatch.setattr(Host, "submit", lambda _, work: handed.append(work))

    with pytest.raises(AccessDenied, match="UNAUTHENTICATED: expected a bearer token"):
        Stream.to(address, token=token)

    assert handed == []


def test_a_token_that_expires_ends_its_streams(host: Host) -> None:
    """At the next message; the client is told what a new one without a valid token is told."""
    known = {"Bearer right": "one"}
    listener = Listener(host, admit=lambda authorization: known.get(authorization or ""))
    try:
        decoder = Decoder(NoDrafter(), Remote(partial(Stream.to, f"grpc://127.0.0.1:{listener.port}", "right")))
        assert decoder.generate([1, 2, 3], stop=STOP).tokens
        known.clear()
        with pytest.raises(AccessDenied, match="UNAUTHENTICATED"):
            decoder.generate([1, 2, 3], stop=STOP)
    finally:
        listener.close()


def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(OptionError, match="expected a token") as error:
        Stream.to(address, token="right\nsecret")
    assert "secret" not in str(error.value)


@frozen
class Files:
    """Names of PEM files, as those who serve by TLS have them."""

    cert: Path
    key: Path
    client_ca: Path | None = None


@pytest.fixture
def files(tmp_path: Path) -> Files:
    authority, names = trustme.CA(), [tmp_path / name for name in ("cert", "key", "ca")]
    issued = authority.issue_cert("localhost")
    for blob in issued.cert_chain_pems:
        blob.write_to_path(names[0], append=True)
    issued.private_key_pem.write_to_path(names[1])
    authority.cert_pem.write_to_path(names[2])
    return Files(*names)


@pytest.mark.parametrize("mutual", [False, True])
def test_lines_may_be_encrypted_and_each_side_looks_who_the_other_is(
    target: Target, files: Files, mutual: bool
) -> None:
    tls = files if mutual else evolve(files, client_ca=None)
    trusted = {"root_certificates": str(files.client_ca)}
    known = {"certificate": str(files.cert), "key": str(files.key)} if mutual else {}
    with hosting(Target(target.model)) as host:
        parts = {"host": host, "address": "localhost:0", "admit": Tenants.of({"right": "one"}).find, "tls": tls}
        listener = plugins().make("listener", "grpc", parts, {})
        address = f"grpcs://localhost:{listener.port}"
        remote = Remote(lambda: Stream.to(address, token="right", **trusted, **known))
        with Decoder(load_drafter("ngram"), remote) as decoder:
            assert decoder.generate([[1, 2]], Sampling(), STOP).tokens == wanted(target, [[1, 2]], Sampling())
        for wrong in [known, *([trusted] if mutual else [])]:
            with pytest.raises(ConnectionLost, match="expected a server at grpcs://localhost"):
                Stream.to(address, token="right", timeout=3.0, **wrong)
        listener.close()


def test_messages_are_no_larger_than_the_server_s_limit(address: str) -> None:
    stream = Stream.to(address, token="right")
    stream.send(encode(Hello(1, 1)))
    assert isinstance(read_from_server(stream.receive(20.0)), Welcome)

    stream.send(bytes(5000))
    with pytest.raises(ConnectionLost, match="RESOURCE_EXHAUSTED"):
        stream.receive(20.0)


def test_more_streams_than_the_server_has_room_for_are_turned_away(host: Host) -> None:
    listener = Listener(host, streams=1)
    first = Stream.to(f"grpc://127.0.0.1:{listener.port}")

    with pytest.raises(ConnectionLost, match="RESOURCE_EXHAUSTED"):
        Stream.to(f"grpc://127.0.0.1:{listener.port}")

    first.close()
    listener.close()


def test_a_client_that_does_not_read_ends_its_stream_and_stops_nobody() -> None:
    box, parts = Box(), [bytes(2**22)] * 5
    for part in parts:
        box.offer(part)

    with pytest.raises(ConnectionLost, match="expected messages to be read"):
        box.offer(b"")
    assert list(box) == parts


def test_an_address_is_a_url() -> None:
    for wrong in ("http://host", "grpc:", "grpc://host/path", "grpc://host:99999", "grpc://host:0", "grpc://host:port"):
        with pytest.raises(OptionError, match="a URL"):
            Stream.to(wrong)
    with pytest.raises(OptionError, match="a PEM file"):
        Stream.to("grpcs://host:1", root_certificates="/nowhere")
    with pytest.raises(ConnectionLost, match="expected a server"):
        Stream.to("grpc://127.0.0.1:9", timeout=2.0)


def test_a_port_is_of_one_server(host: Host) -> None:
    listener = Listener(host)
    with pytest.raises(OptionError, match="an address to listen at"):
        Listener(host, f"127.0.0.1:{listener.port}")
    listener.close()


def test_only_a_server_of_ours_will_do() -> None:
    with ThreadPoolExecutor() as pool:
        server = grpc.server(pool)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with pytest.raises(ConnectionLost, match="UNIMPLEMENTED"):
            Stream.to(f"grpc://127.0.0.1:{port}")
        server.stop(0.5).wait()


def test_a_server_that_stops_ends_its_streams(target: Target) -> None:
    host = Host(Server.of(Target(target.model)))
    listener = Listener(host)
    stream = Stream.to(f"grpc://127.0.0.1:{listener.port}")

    listener.close(0.0)
    host.close()

    with pytest.raises(ConnectionLost):
        stream.receive(20.0)
