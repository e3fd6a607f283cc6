"""The plugin: transports `grpc` and `grpcs`, and their listener."""

from specdec import Register, hookimpl
from specdec_grpc.listener import listen
from specdec_grpc.stream import Stream


@hookimpl
def register_transports(register: Register) -> None:
    """Register `grpc` and, with TLS, `grpcs`, whose addresses are URLs."""
    register("grpc", Stream.to)
    register("grpcs", Stream.to)


@hookimpl
def register_listeners(register: Register) -> None:
    """Register `grpc`, as in `specdec serve --also grpc://127.0.0.1:9000`."""
    register("grpc", listen)
