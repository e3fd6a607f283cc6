"""The plugin: transports `ws` and `wss`."""

from specdec import Register, hookimpl
from specdec_serve.websocket import WebSocket


@hookimpl
def register_transports(register: Register) -> None:
    """Register `ws` and `wss`, whose addresses are URLs."""
    register("ws", WebSocket.to)
    register("wss", WebSocket.to)
