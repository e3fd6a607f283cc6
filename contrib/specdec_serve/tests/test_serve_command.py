"""What `specdec serve` refuses, before a model is loaded."""

import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import trustme
from serving import RIGHT, TENANTS, listening, serving, target
from specdec_serve import WebSocket
from specdec_serve.address import Address, Tls
from specdec_serve.limits import read_limits
from specdec_serve.listening import Listening
from specdec_serve.listening import listening as serve_elsewhere
from typer.testing import CliRunner

from specdec import Decoder, OptionError, Sampling, Stop, Target, load_drafter
from specdec.cli.main import app
from specdec.drafters import NoDrafter
from specdec.errors import ConnectionLost
from specdec.plugins import Entry, plugins
from specdec.remote import Host, Remote
from specdec.split import Limits

Admit = Callable[[str | None], str | None]
REFUSED = {
    "no port": (["--listen", "localhost"], "HOST:PORT"),
    "no host": (["--listen", ":80"], "HOST:PORT"),
    "a bare IPv6": (["--listen", "::1:80"], "HOST:PORT"),
    "a large port": (["--listen", "localhost:65536"], "HOST:PORT"),
    "the world": (["--listen", "0.0.0.0:0"], "--insecure"),
    "the world by name": (["--listen", "example.org:0"], "--insecure"),
    "half of TLS": (["--tls-cert", "cert.pem"], "together"),
    "no certificate": (["--tls-cert", "none.pem", "--tls-key", "none.pem"], "in PEM"),
    "no tokens": (["--token-file", "none.toml"], "TOML file"),
    "an unknown limit": (["--limit", "speed=3"], "NAME=N"),
    "a limit twice": (["--limit", "nodes=3", "--limit", "nodes=4"], "NAME=N once"),
    "no number": (["--limit", "nodes=many"], "a number"),
    "a limit of nothing": (["--limit", "nodes=0"], "at least 1"),
    "an unknown policy": (["--policy", "none"], "no policy is called"),
    "no model": (["--target", "no/such/model"], "no/such/model"),
}


@pytest.mark.parametrize(("options", "reason"), REFUSED.values(), ids=list(REFUSED))
def test_it_is_refused_in_a_line(options: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = CliRunner().invoke(app, ["serve", *options])

    assert result.exit_code == 2
    assert reason in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_address_that_is_taken_is_refused_before_a_model_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = CliRunner().invoke(app, ["serve", "--listen", address, "--target", "no/such/model"])

    assert result.exit_code == 2
    assert f"expected an address that is free, got {address}" in result.stderr


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_this_machine_needs_no_protection(host: str) -> None:
    Address.parse(f"{host}:80").check(secure=False)


def test_limits_are_read() -> None:
    assert read_limits(["nodes=9", "idle=1.5"]) == Limits(nodes=9, idle=1.5)


def test_tls_and_client_certificates(tmp_path: Path) -> None:
    """Over `wss` the texts of one client and of sixteen are the target's; without a certificate, nobody comes in."""
    authority = trustme.CA()
    cert = authority.issue_cert("127.0.0.1")
    (tmp_path / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in cert.cert_chain_pems))
    cert.private_key_pem.write_to_path(tmp_path / "key.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = Tls.of(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"), str(tmp_path / "ca.pem"))
    assert tls is not None
    model = target()
    samplings = [Sampling(float(number % 2), seed=number) for number in range(16)]
    expected = [Decoder(NoDrafter(), model).generate([5, 6, 7], one, Stop(10)).tokens for one in samplings]
    trusting, known = (ssl.create_default_context(cafile=str(tmp_path / "ca.pem")) for _ in range(2))
    authority.issue_cert("client@example.org").configure_cert(known)
    with (
        serving(Target(model.model, tokenizer=model.tokenizer), tenants=TENANTS) as service,
        listening(service, **tls.options) as server,
    ):
        address = f"wss://{server.address}"
        for context in (trusting, None):
            with pytest.raises(ConnectionLost):
                WebSocket.to(address, RIGHT, ssl=context).receive(5.0)

        def generate(number: int) -> tuple[tuple[int, ...], ...]:
            connect = partial(WebSocket.to, address, RIGHT, ssl=known)
            with closing(Remote(connect, model.tokenizer, patience=60.0)) as remote:
                return Decoder(load_drafter("ngram"), remote).generate([5, 6, 7], samplings[number], Stop(10)).tokens

        assert generate(0) == expected[0]
        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(generate, range(16))) == expected


def test_with_one_half_of_a_certificate_there_is_no_tls() -> None:
    with pytest.raises(OptionError, match="together"):
        Tls.of(None, "key.pem", None)
    assert Tls.of(None, None, None) is None


def test_other_listeners_have_the_same_tenants(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin's kind of listener is told where to listen, who may come, and by what certificate."""
    heard = list[object]()

    class Ear:
        def __init__(self, host: Host, address: str, admit: Admit, tls: Tls | None = None) -> None:
            heard.extend((host, address, admit(f"Bearer {RIGHT}"), admit(None), tls))

        def close(self) -> None:
            heard.append("closed")

    entry = Entry("listener", "ear", Ear, "a test")
    monkeypatch.setitem(plugins()._entries, ("listener", "ear"), entry)
    with serving(target(), tenants=TENANTS) as service:
        with serve_elsewhere([Listening.parse("ear://[::1]:9")], service, None):
            assert heard == [service.host, "[::1]:9", "alice", None, None]
        assert heard[-1] == "closed"
    with pytest.raises(OptionError, match="KIND://HOST:PORT"):
        Listening.parse("nose://127.0.0.1:9")
