"""Transports that need nothing but Python."""

from specdec.transports.counting import Counting, Traffic
from specdec.transports.local import LocalTransport, pipe

__all__ = ["Counting", "LocalTransport", "Traffic", "pipe"]
