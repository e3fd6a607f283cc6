"""How much clients may ask for."""

from attrs import field, frozen

from specdec.bounds import bounds


@frozen
class Limits:
    """Upper bounds, inclusive: of a message, of a tree's nodes, of all sessions, and of each tenant's.

    A pass over several trees has at most `pass_nodes` nodes, for each of which the target gives logits of its whole
    vocabulary; a single tree may be larger.

    All open sessions get as much of the target's memory as the longest: `sessions` times the longest text that the
    target reads is the most that they take, whatever `tenant_tokens` allows.

    A session that is idle for `idle` seconds is dropped, and so is the one that was idle for longest where another
    needs its room; its client can reopen it with its tokens.
    """

    message_bytes: int = field(default=2**20, validator=bounds(64))
    nodes: int = field(default=512, validator=bounds(1, 2**16))
    pass_nodes: int = field(default=4096, validator=bounds(1))
    sessions: int = field(default=64, validator=bounds(1))
    tenant_sessions: int = field(default=64, validator=bounds(1))
    tenant_tokens: int = field(default=2**20, validator=bounds(1))
    tenant_waiting: int = field(default=64, validator=bounds(1))
    idle: float = field(default=600.0, validator=bounds(0, above=True))
    burst: int = field(default=64, validator=bounds(0))
    """Answers that may follow one tree before the next one comes."""
    retry: float = field(default=0.1, validator=bounds(0))
    """Seconds after which a client that was turned away should try again."""
