"""How much a client may ask for."""

from attrs import field, frozen

from specdec.bounds import bounds


@frozen
class Limits:
    """Most bytes of a message, nodes of a tree, sessions, and so on; seconds for `idle`.

    Those of a tenant are each for one. A session that is idle for long, or the one that was idle for longest where
    there is no room for another, is forgotten; its client may have it back by sending its tokens.
    """

    message_bytes: int = field(default=2**20, validator=bounds(64))
    nodes: int = field(default=512, validator=bounds(1, 2**16))
    sessions: int = field(default=64, validator=bounds(1))
    tenant_sessions: int = field(default=64, validator=bounds(1))
    tenant_tokens: int = field(default=2**20, validator=bounds(1))
    tenant_waiting: int = field(default=64, validator=bounds(1))
    idle: float = field(default=600.0, validator=bounds(0, above=True))
    burst: int = field(default=64, validator=bounds(0))
    """Most answers that are given without a tree of the client's."""
    retry: float = field(default=0.1, validator=bounds(0))
    """Seconds after which a client that was turned away may ask again."""
