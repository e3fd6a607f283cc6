"""A split server with metrics."""

from attrs import define, field

from specdec.split import Connection, Message, Opened, Refused, Server
from specdec_serve.metrics import Metrics

BYTES = 4
"""Bytes of a token in a message."""


@define(eq=False, slots=False)
class MeteredServer(Server):
    """Measures turns, verified trees, refusals and reopened sessions."""

    metrics: Metrics = field(kw_only=True)

    def tick(self) -> bool:
        """Take one turn, and measure the trees verified in it."""
        waiting = [(record, record.waiting) for record in self.store if record.waiting is not None]
        began, busy, metrics = self.clock(), super().tick(), self.metrics
        verified, now = 0, self.clock()
        for record, one in waiting:
            asked, answers = one.message, record.answers
            if record.waiting is one or not answers or answers[-1].base != asked.base:
                continue
            decided, verified = len(answers[-1].tokens) // BYTES, verified + 1
            metrics["verify_queue_seconds"].observe(now - one.until + asked.deadline_ms / 1000)
            metrics["spec_decode_num_drafts"].inc()
            metrics["spec_decode_num_draft_tokens"].inc(len(one.tree) - 1)
            metrics["spec_decode_num_accepted_tokens"].inc(decided - 1)
            metrics["generation_tokens"].inc(decided)
        if verified:
            metrics["verify_forward_seconds"].observe(now - began)
            metrics["verify_batch_sessions"].observe(verified)
        metrics["sessions"].set(len(self.store))
        metrics["kept_tokens"].set(sum(record.base for record in self.store))
        metrics["connections"].set(len(self.connections))
        return busy

    def send(self, connection: Connection | None, message: Message) -> None:
        """Send a message, and count refusals and reopened sessions."""
        if isinstance(message, Refused):
            self.metrics["errors"](code=message.code).inc()
        elif isinstance(message, Opened) and message.epoch > 1:
            self.metrics["resumes"](kv="warm" if message.warm else "cold").inc()
        super().send(connection, message)
