"""What specdec loads: the transports `grpc` and `grpcs`."""

from specdec import Register, hookimpl
from specdec_grpc.stream import Stream


@hookimpl
def register_transports(register: Register) -> None:
    """Bring `grpc` and, by TLS, `grpcs`, whose addresses are URLs."""
    register("grpc", Stream.to)
    register("grpcs", Stream.to)
