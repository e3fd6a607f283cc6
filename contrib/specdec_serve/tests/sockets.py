"""Sockets of this machine, for tests: a host behind them, and a token in front."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from threading import Thread

from specdec_serve import WebSocket
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from specdec.remote import Host

TOKEN = "right"


@contextmanager
def listening(host: Host) -> Iterator[str]:
    """Serve a host at an address, for those who have the token."""

    def check(connection: ServerConnection, request: Request) -> Response | None:
        known = request.headers.get("Authorization") == f"Bearer {TOKEN}"
        return None if known else connection.respond(HTTPStatus.FORBIDDEN, "")

    def hold(connection: ServerConnection) -> None:
        host.serve(WebSocket(connection))

    with serve(hold, "127.0.0.1", 0, compression=None, max_size=2**26, process_request=check) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()
