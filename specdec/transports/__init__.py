"""Transports that need nothing but Python, and what those of plugins share."""

from specdec.transports.bearer import LARGEST, access_denied, find_token, is_token
from specdec.transports.counting import Counting, Traffic
from specdec.transports.local import LocalTransport, pipe

__all__ = ["LARGEST", "Counting", "LocalTransport", "Traffic", "access_denied", "find_token", "is_token", "pipe"]
