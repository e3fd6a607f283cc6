"""The client's end of a stream, as a transport."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any
from urllib.parse import SplitResult, urlsplit

import grpc

from specdec import OptionError, Transport
from specdec.errors import ConnectionLost
from specdec.transports import LARGEST, access_denied, find_token
from specdec_grpc.box import Box
from specdec_grpc.pem import read_pem
from specdec_grpc.wire import ADMITTED, ALIVE, METHOD, SERVICE, sizes, unchanged

DENIED = ("UNAUTHENTICATED", "PERMISSION_DENIED")
"""Status codes of a rejected client."""
OPTIONS = (*ALIVE, *sizes(LARGEST), ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
"""Each transport has its own connection: a shared one would stay open after one of them gave it up."""


class Stream(Transport):
    """The client's end of a stream; a thread of its own reads it to its end, so that no read is ever cancelled."""

    def __init__(self, arriving: Iterator[bytes], leaving: Box) -> None:
        """Receive what `arriving` yields; the caller sends what is put into `leaving`."""
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
        """Connect to `grpc://HOST:PORT`, or with TLS to `grpcs://HOST:PORT`, within `timeout` seconds.

        `token` is a bearer token, by default that of the environment variable `SPECDEC_TOKEN`. The other files are PEM:
        `root_certificates` of the authorities trusted to sign the server's certificate, by default the system's;
        `certificate` and `key` identify this client.

        Raises:
            AccessDenied: the server rejects this client.
            ConnectionLost: no server answers in time.
            OptionError: the address is not such a URL, a file cannot be read, or the token cannot be sent in a header.
        """
        token = find_token(token)
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
                raise access_denied(address, token, refusal)
            raise ConnectionLost(f"expected a server at {address}, got {refusal}")
        return stream

    def send(self, message: bytes) -> None:
        self._leaving.put(bytes(message))

    def receive(self, timeout: float | None = None) -> bytes:
        return self._arrived.take(timeout)

    def close(self) -> None:
        """End the stream; the reading thread ends once the server has ended it too, or keepalive finds it gone."""
        for box in (self._leaving, self._arrived):
            box.close("the stream was closed")

    def _read(self) -> None:
        reason = "the other end has closed the stream"
        try:
            for message in self._arriving:
                with suppress(ConnectionLost):  # if closed at this end, the call is still read to its end
                    self._arrived.put(message)
        except grpc.RpcError as error:
            reason = _why(error)
        except Exception as error:  # whatever the iterator raises when the other end is gone
            reason = f"{type(error).__name__}: {error}"
        finally:
            for box in (self._arrived, self._leaving):
                box.close(reason)


def _channel(address: str, root_certificates: str, certificate: str, key: str) -> Any:
    """Make a channel, which connects when it is first used."""
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
    raise OptionError(f"expected a URL, such as grpcs://host:port, got {address!r}")


def _arriving(call: Any, channel: Any, admit: Callable[[str], object]) -> Iterator[bytes]:
    """Yield a call's messages, then close the channel; `admit` first gets `""`, or why the call was refused."""
    try:
        admitted = any(key == ADMITTED for key, _ in call.initial_metadata() or ())
        admit("" if admitted else _why(call))
        yield from call
    finally:
        channel.close()


def _why(call: Any) -> str:
    """The status with which a call has ended."""
    return f"{call.code().name}: {call.details()}"
