"""The client's end of a WebSocket, one binary message for each of ours."""

import logging
import os
from contextlib import ExitStack, suppress
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from specdec import OptionError, Transport
from specdec.errors import AccessDenied, ConnectionLost, TimedOut
from specdec.remote.terms import check_token

LARGEST = 2**26
"""Bytes of a message that are taken from a server: features of a step, uncoded, of the largest models."""
ALIVE = {"ping_interval": 1.0, "ping_timeout": 1.0, "close_timeout": 0.5}
"""Seconds by which a half-open line is found out: the library's defaults take over 50."""
DENIED = (401, 403)
"""HTTP statuses of a server that does not let a client in."""
LOG = logging.getLogger(__name__)
LOG.addHandler(logging.NullHandler())  # a line that breaks is an error for who uses it, and no traceback on a terminal
TOKEN = "SPECDEC_TOKEN"  # the name of a variable, and no secret


class WebSocket(Transport):
    """An open connection of `websockets`; `compression` stays off, for it grows what is sent into what it was."""

    def __init__(self, connection: Connection, stack: ExitStack | None = None) -> None:
        """Use an open connection; what the stack holds ends with it."""
        self._connection, self._stack = connection, stack or ExitStack()

    @classmethod
    def to(cls, address: str, token: str = "", timeout: float = 5.0, **options: Any) -> "WebSocket":
        """Connect to a URL, as `wss://host`, with a bearer token if there is one, by default that of `SPECDEC_TOKEN`.

        Raises:
            AccessDenied: the server does not let this client in.
            ConnectionLost: nobody answers in time.
            OptionError: the address is no URL of a WebSocket, or the token has what no header can carry.
        """
        token, url = check_token(token or os.environ.get(TOKEN, "")), _url(address)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        limits = {"compression": None, "open_timeout": timeout, "max_size": LARGEST, "logger": LOG, **ALIVE, **options}
        stack = ExitStack()
        try:
            connection = stack.enter_context(connect(url, additional_headers=headers, **limits))
        except InvalidURI as error:
            raise OptionError(f"expected a URL, as wss://host:port, got {address!r}") from error
        except (OSError, WebSocketException) as error:
            if isinstance(error, InvalidStatus) and error.response.status_code in DENIED:
                given = "the one given" if token else f"none; --token-file or {TOKEN} gives one"
                status = f"HTTP {error.response.status_code}"
                raise AccessDenied(f"expected a token that {url} takes, got {given} ({status})") from error
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
        with suppress(ConnectionClosed):  # what broke it was said before
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
    raise OptionError(f"expected a URL, as wss://host:port, got {address!r}")
