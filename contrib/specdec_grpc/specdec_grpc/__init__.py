"""gRPC as a transport: what listens on the server, and the stream by which clients come."""

from specdec_grpc.listener import Admit, Listener, anyone, by_token
from specdec_grpc.stream import Stream

__all__ = ["Admit", "Listener", "Stream", "anyone", "by_token"]
