"""The server's side: a port whose streams reach a host."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import takewhile
from threading import Thread
from typing import Any

import grpc

from specdec import OptionError
from specdec.errors import ConnectionLost
from specdec.remote import Admit, Host, Tenants
from specdec.split import Connection
from specdec_grpc.box import Box
from specdec_grpc.pem import read_pem
from specdec_grpc.wire import ADMITTED, ALIVE, METHOD, SERVICE, sizes, unchanged

OPTIONS = (*ALIVE, ("grpc.so_reuseport", 0), ("grpc.http2.max_ping_strikes", 0))
"""Servers do not share a port, and clients may ping as often as they like."""
ANYONE: Admit = Tenants().find


class Listener:
    """Listens at a port, and carries messages between its streams and a host.

    Each stream has a reading and a writing thread, rather than tasks of `grpc.aio`, which leaks memory when a read is
    cancelled; the read of a thread ends with its stream.
    """

    def __init__(
        self,
        host: Host,
        address: str = "127.0.0.1:0",
        admit: Admit = ANYONE,
        credentials: Any = None,
        streams: int = 256,
    ) -> None:
        """Listen at `HOST:PORT`; port 0 is any free one, which `port` then names.

        `admit` takes a client's authorization, `Bearer TOKEN` or None, and returns its tenant, or None to reject it, as
        `Tenants.find` does; by default every client is admitted. `credentials` are those of
        `grpc.ssl_server_credentials`; without them nothing is encrypted. At most `streams` streams are open at a time.

        Raises:
            OptionError: the address cannot be listened at.
        """
        self._host, self._admit = host, admit
        options = (*OPTIONS, *sizes(host.server.limits.message_bytes))
        pool = ThreadPoolExecutor(streams, "specdec grpc")
        self._server = grpc.server(pool, options=options, maximum_concurrent_rpcs=streams)
        self._server.add_generic_rpc_handlers((handlers(self._exchange),))
        try:
            self.port = self._bind(address, credentials)
        except RuntimeError as error:
            raise OptionError(
                f"expected an address to listen at, such as 127.0.0.1:8000, got {address!r}: {error}"
            ) from error
        self._server.start()

    def close(self, grace: float = 0.5) -> None:
        """Accept no new streams, and end those that are left after `grace` seconds."""
        self._server.stop(grace).wait()

    def _bind(self, address: str, credentials: Any) -> int:
        if credentials is None:
            return int(self._server.add_insecure_port(address))
        return int(self._server.add_secure_port(address, credentials))

    def _exchange(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        """Serve one stream until it ends; a rejected client is told so before anything is allocated."""
        authorization = dict(context.invocation_metadata()).get("authorization")
        tenant = self._admit(authorization)
        if tenant is None:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "expected a bearer token that this server knows")
            return  # for type checkers, which do not know that `abort` raises
        leaving = Box()
        connection = Connection(lambda data: _offer(leaving, data), tenant)
        context.send_initial_metadata(((ADMITTED, "1"),))
        self._host.submit(lambda: self._host.server.connect(connection))
        admitted = takewhile(lambda _: self._admit(authorization) == tenant, requests)  # a token may expire
        reader = Thread(target=self._read, args=(admitted, connection, leaving), name="specdec grpc", daemon=True)
        reader.start()
        yield from leaving

    def _read(self, requests: Iterator[bytes], connection: Connection, leaving: Box) -> None:
        """Hand a client's messages to the host, until the client ends the stream, is gone or no longer admitted."""
        hand = self._host.hand(connection)
        try:
            for data in requests:
                hand(data)
        except Exception:  # grpc raises a plain Exception if the client is gone
            pass
        finally:
            self._host.submit(lambda: self._host.server.disconnect(connection))
            leaving.close("the client has ended the stream, or its token has expired")


def listen(host: Host, address: str, admit: Admit = ANYONE, tls: Any = None) -> Listener:
    """Listen as `specdec serve --also` does; `tls` names PEM files: `cert`, `key` and, unless None, `client_ca`.

    Raises:
        OptionError: the address cannot be listened at, or a file cannot be read.
    """
    if tls is None:
        return Listener(host, address, admit)
    pair = read_pem(tls.key, "a private key"), read_pem(tls.cert, "certificates")
    roots = (
        read_pem(tls.client_ca, "certificates of the authority that signs clients' certificates")
        if tls.client_ca
        else None
    )
    credentials = grpc.ssl_server_credentials([pair], roots, require_client_auth=roots is not None)
    return Listener(host, address, admit, credentials)


def handlers(exchange: Any) -> Any:
    """The generic handlers of the service, which has one method."""
    handler = grpc.stream_stream_rpc_method_handler(exchange, unchanged, unchanged)
    return grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})


def _offer(leaving: Box, data: bytes) -> None:
    """Send from the server's thread, which must not wait for a client."""
    with suppress(ConnectionLost):  # the reading thread disconnects the client
        leaving.offer(data)
