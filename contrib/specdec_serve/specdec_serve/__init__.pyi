from .app import app
from .draining import Draining
from .service import Service
from .tenants import Tenants
from .websocket import WebSocket

__all__ = ["Draining", "Service", "Tenants", "WebSocket", "app"]
