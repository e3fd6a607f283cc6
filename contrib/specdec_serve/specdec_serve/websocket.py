"""The client's WebSocket: one binary WebSocket message for each message of the protocol."""

import logging
from contextlib import ExitStack, suppress
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from specdec import OptionError, Transport
from specdec.errors import ConnectionLost, TimedOut
from specdec.transports import LARGEST, access_denied, find_token

ALIVE = {"ping_interval": 1.0, "ping_timeout": 1.0, "close_timeout": 0.5}
"""Seconds, so that a half-open line is noticed soon; the library's defaults take over 50."""
DENIED = (401, 403)
"""HTTP statuses of a rejected client."""
LOG = logging.getLogger(__name__)
LOG.addHandler(logging.NullHandler())  # a broken line is raised to the caller, not logged with a traceback


class WebSocket(Transport):
    """A connection of `websockets`, without compression, under which a small message could expand to a huge one."""

    def __init__(self, connection: Connection, stack: ExitStack | None = None) -> None:
        """Use an open connection; closing it closes `stack` too."""
        self._connection, self._stack = connection, stack or ExitStack()

    @classmethod
    def to(cls, address: str, token: str = "", timeout: float = 5.0, **options: Any) -> "WebSocket":
        """Connect to a URL such as `wss://host` within `timeout` seconds.

        `token` is a bearer token, by default that of the environment variable `SPECDEC_TOKEN`; `options` are those of
        `websockets.sync.client.connect`.

        Raises:
            AccessDenied: the server rejects this client.
            ConnectionLost: no server answers in time.
            OptionError: the address is not a WebSocket URL, or the token cannot be sent in a header.
        """
        token, url = find_token(token), _url(address)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        limits = {"compression": None, "open_timeout": timeout, "max_size": LARGEST, "logger": LOG, **ALIVE, **options}
        stack = ExitStack()
        try:
            connection = stack.enter_context(connect(url, additional_headers=headers, **limits))
        except (InvalidURI, UnicodeError) as error:  # the latter of a host's name
            raise OptionError(f"expected a URL, such as wss://host:port, got {address!r}") from error
        except (OSError, WebSocketException) as error:
            if isinstance(error, InvalidStatus) and error.response.status_code in DENIED:
                raise access_denied(url, token, f"HTTP {error.response.status_code}") from error
            raise ConnectionLost(f"expected a server at {url}, got {type(error).__name__}: {error}") from error
        return cls(connection, stack)

    def send(self, message: bytes) -> None:
        try:
            self._connection.send(message)
        except ConnectionClosed as error:
            raise ConnectionLost(f"the connection is closed: {error}") from error

    def receive(self, timeout: float | None = None) -> bytes:
        try:
            message = self._connection.recv(timeout)
        except TimeoutError as error:
            raise TimedOut(f"expected a message within {timeout} seconds, got none") from error
        except ConnectionClosed as error:
            raise ConnectionLost(f"the connection is closed: {error}") from error
        return message.encode() if isinstance(message, str) else message

    def close(self) -> None:
        with suppress(ConnectionClosed):  # the error was raised before
            self._connection.close()
        self._stack.close()


def _url(address: str) -> str:
    """Add the path that a server of ours has, unless the address has one of its own.

    Raises:
        OptionError: the address is no URL, or its port is none.
    """
    try:
        parts = urlsplit(address)
        if parts.port != 0:
            return parts._replace(path="/v1/split" if parts.path in ("", "/") else parts.path).geturl()
    except ValueError:
        pass
    raise OptionError(f"expected a URL, such as wss://host:port, got {address!r}")
