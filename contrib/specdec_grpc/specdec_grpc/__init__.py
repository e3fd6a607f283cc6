"""gRPC as a transport: what listens on the server, and the stream by which clients come."""

from specdec_grpc.listener import Listener
from specdec_grpc.stream import Stream

__all__ = ["Listener", "Stream"]
