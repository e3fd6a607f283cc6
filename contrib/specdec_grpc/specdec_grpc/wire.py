"""What both ends of a stream agree on: its name, keepalive, and the largest message."""

METHOD, SERVICE = "Exchange", "specdec.v1.Split"
"""One bidirectional stream, whose messages are those of the split, without an envelope."""
ADMITTED = "specdec-admitted"
"""A header that the server sends first; if it is missing, this is another service, or the client is rejected."""

_MILLISECONDS = 1000
ALIVE = (
    ("grpc.keepalive_time_ms", _MILLISECONDS),
    ("grpc.keepalive_timeout_ms", _MILLISECONDS),
    ("grpc.http2.ping_timeout_ms", _MILLISECONDS),  # a minute by default, regardless of keepalive_timeout_ms
    ("grpc.http2.max_pings_without_data", 0),
)
"""A half-open line is noticed after two seconds; by default clients never ping, and servers every two hours."""


def sizes(largest: int) -> tuple[tuple[str, int], ...]:
    """Limit received messages to `largest` bytes; the receiver limits those that are sent."""
    return ("grpc.max_receive_message_length", largest), ("grpc.max_send_message_length", -1)


def unchanged(message: bytes) -> bytes:
    """Serialise bytes as themselves."""
    return message
