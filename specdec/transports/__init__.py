"""Transports that need nothing but Python."""

from specdec.transports.local import LocalTransport, pipe

__all__ = ["LocalTransport", "pipe"]
