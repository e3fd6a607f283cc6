"""The client's end of a stream, as a transport."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any
from urllib.parse import SplitResult, urlsplit

import grpc

from specdec import OptionError, Transport
from specdec.errors import AccessDenied, ConnectionLost
from specdec.remote.terms import check_token
from specdec_grpc.box import Box
from specdec_grpc.pem import read_pem
from specdec_grpc.wire import ADMITTED, ALIVE, METHOD, SERVICE, sizes, unchanged

LARGEST = 2**26
"""Bytes of a message that are taken from a server: features of a step, uncoded, of the largest models."""
DENIED = ("UNAUTHENTICATED", "PERMISSION_DENIED")
TOKEN = "SPECDEC_TOKEN"  # the name of a variable, and no secret
OPTIONS = (*ALIVE, *sizes(LARGEST), ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
"""Each transport has a connection of its own: a shared one would outlive its being given up."""


class Stream(Transport):
    """One end of a stream: a thread reads as long as there is something to read, so that no read is ever cancelled."""

    def __init__(self, arriving: Iterator[bytes], leaving: Box) -> None:
        """Read from one side of a call; another thread is to send what comes into the box."""
        self._arriving, self._leaving, self._arrived = arriving, leaving, Box()
        Thread(target=self._read, name="specdec grpc", daemon=True).start()

    @classmethod
    def to(
        cls,
        address: str,
        token: str = "",
        root_certificates: str = "",
        certificate: str = "",
        key: str = "",
        timeout: float = 5.0,
    ) -> "Stream":
        """Connect to `grpc://HOST:PORT`, or by TLS to `grpcs://HOST:PORT`.

        `token` is a bearer token, by default that of `SPECDEC_TOKEN`. `root_certificates` is a PEM file of those who
        may vouch for the server, by default the well-known ones; `certificate` and `key` are files by which this client
        says who it is. Nobody is waited for longer than `timeout` seconds.

        Raises:
            AccessDenied: the server does not let this client in.
            ConnectionLost: nobody answers in time.
            OptionError: the address is no such URL, a file cannot be read, or the token has what no header can carry.
        """
        token = check_token(token or os.environ.get(TOKEN, ""))
        channel, leaving, admission = _channel(address, root_certificates, certificate, key), Box(), SimpleQueue[str]()
        metadata = [("authorization", f"Bearer {token}")] if token else []
        call = channel.stream_stream(f"/{SERVICE}/{METHOD}", unchanged, unchanged)(iter(leaving), metadata=metadata)
        stream = cls(_arriving(call, channel, admission.put), leaving)
        try:
            refusal = admission.get(timeout=timeout)
        except Empty:
            refusal = f"no answer within {timeout:g} seconds"
        if refusal:
            stream.close()
            call.cancel()
            if refusal.startswith(DENIED):
                given = "the one given" if token else f"none; --token-file or {TOKEN} gives one"
                raise AccessDenied(f"expected a token that {address} takes, got {given} ({refusal})")
            raise ConnectionLost(f"expected a server at {address}, got {refusal}")
        return stream

    def send(self, message: bytes) -> None:
        self._leaving.put(bytes(message))

    def receive(self, timeout: float | None = None) -> bytes:
        return self._arrived.take(timeout)

    def close(self) -> None:
        """Say that nothing more will come; the other end says so, too, or keepalive finds that it is gone."""
        for box in (self._leaving, self._arrived):
            box.close("the stream was closed")

    def _read(self) -> None:
        reason = "the other end has closed the stream"
        try:
            for message in self._arriving:
                with suppress(ConnectionLost):  # closed here: the call is still read to its end
                    self._arrived.put(message)
        except grpc.RpcError as error:
            reason = _why(error)
        except Exception as error:  # whatever a server's iterator raises when its client is gone
            reason = f"{type(error).__name__}: {error}"
        finally:
            for box in (self._arrived, self._leaving):
                box.close(reason)


def _channel(address: str, root_certificates: str, certificate: str, key: str) -> Any:
    """Make a channel; it connects when it is used."""
    url = _url(address)
    if url.scheme == "grpc":
        return grpc.insecure_channel(url.netloc, OPTIONS)
    files = (root_certificates, "root certificates"), (key, "a private key"), (certificate, "certificates")
    parts = [read_pem(path, what) if path else None for path, what in files]
    return grpc.secure_channel(url.netloc, grpc.ssl_channel_credentials(*parts), OPTIONS)


def _url(address: str) -> SplitResult:
    """Read an address.

    Raises:
        OptionError: it is no URL of ours, or its port is none.
    """
    try:
        url = urlsplit(address)
        if url.scheme in ("grpc", "grpcs") and url.hostname and url.port != 0 and not url.path.strip("/"):
            return url
    except ValueError:
        pass
    raise OptionError(f"expected a URL, as grpcs://host:port, got {address!r}")


def _arriving(call: Any, channel: Any, admit: Callable[[str], object]) -> Iterator[bytes]:
    """Give what comes, and first of all say what came in the place of an admission; the channel ends with the call."""
    try:
        admitted = any(key == ADMITTED for key, _ in call.initial_metadata() or ())
        admit("" if admitted else _why(call))
        yield from call
    finally:
        channel.close()


def _why(call: Any) -> str:
    """Say why a call has ended, once it has."""
    return f"{call.code().name}: {call.details()}"
