"""A target on a server: the app that serves it, and the transport by which clients come."""

from specdec_serve.app import app
from specdec_serve.websocket import WebSocket

__all__ = ["WebSocket", "app"]
