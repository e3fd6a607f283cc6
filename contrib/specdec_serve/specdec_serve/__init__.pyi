from .app import app
from .draining import Draining
from .service import Service
from .websocket import WebSocket

__all__ = ["Draining", "Service", "WebSocket", "app"]
