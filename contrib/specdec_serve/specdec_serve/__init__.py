"""A target on a server: the app that serves it, and the transport by which clients come."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
