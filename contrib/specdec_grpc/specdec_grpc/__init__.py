"""gRPC as a transport: the server's listener, and the client's stream."""

from specdec_grpc.listener import Listener
from specdec_grpc.stream import Stream

__all__ = ["Listener", "Stream"]
