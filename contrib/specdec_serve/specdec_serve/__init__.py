"""A target on a server: the web app that serves it, and the WebSocket transport of its clients."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
