"""What both ends of a stream agree on: its name, and how soon a line is known to be dead."""

METHOD, SERVICE = "Exchange", "specdec.v1.Split"
"""One bidirectional stream, each message of which is one of ours: bytes, without an envelope."""
ADMITTED = "specdec-admitted"
"""A server's first header: without it, what answers is no server of ours, or does not let this client in."""

_MILLISECONDS = 1000
ALIVE = (
    ("grpc.keepalive_time_ms", _MILLISECONDS),
    ("grpc.keepalive_timeout_ms", _MILLISECONDS),
    ("grpc.http2.ping_timeout_ms", _MILLISECONDS),  # a minute by default, whatever the other timeout is
    ("grpc.http2.max_pings_without_data", 0),
)
"""A half-open line is found out after two seconds: by default clients do not look, and servers every two hours."""


def sizes(largest: int) -> tuple[tuple[str, int], ...]:
    """Bound what is taken, in bytes of a message; what is sent is bounded by who takes it."""
    return ("grpc.max_receive_message_length", largest), ("grpc.max_send_message_length", -1)


def unchanged(message: bytes) -> bytes:
    """Serialise bytes as themselves."""
    return message
