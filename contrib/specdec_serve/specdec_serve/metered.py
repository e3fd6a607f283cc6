"""A split server that counts what it does."""

from attrs import define, field

from specdec.split import Connection, Server
from specdec.split import messages as wire
from specdec.split.messages import unpack_tokens
from specdec.split.record import Record, Waiting
from specdec_serve.metrics import Metrics


@define(eq=False)
class MeteredServer(Server):
    """Counts turns, what was verified in them, and what was refused."""

    metrics: Metrics = field(kw_only=True)

    def tick(self) -> bool:
        waiting = [(record, record.waiting) for record in self.store if record.waiting is not None]
        began = self.clock()
        busy = super().tick()
        verified = [(record, one) for record, one in waiting if _is_answered(record, one)]
        if verified:
            self._count(verified, began)
        self.metrics["sessions"].set(len(self.store))
        self.metrics["kept_tokens"].set(sum(record.base for record in self.store))
        self.metrics["connections"].set(len(self.connections))
        return busy

    def send(self, connection: Connection | None, message: wire.Message) -> None:
        if isinstance(message, wire.Refused):
            self.metrics["errors"](code=message.code).inc()
        elif isinstance(message, wire.Opened) and message.epoch:
            self.metrics["resumes"](kv="warm" if message.warm else "cold").inc()
        super().send(connection, message)

    def _count(self, verified: list[tuple[Record, Waiting]], began: float) -> None:
        metrics, now = self.metrics, self.clock()
        metrics["verify_forward_seconds"].observe(now - began)
        metrics["verify_batch_sessions"].observe(len(verified))
        for record, waiting in verified:
            decided = 0 if record.answer is None else len(unpack_tokens(record.answer.tokens))
            metrics["verify_queue_seconds"].observe(now - waiting.until + waiting.message.deadline_ms / 1000)
            metrics["spec_decode_num_drafts"].inc()
            metrics["spec_decode_num_draft_tokens"].inc(len(waiting.tree) - 1)
            metrics["spec_decode_num_accepted_tokens"].inc(decided - 1)
            metrics["generation_tokens"].inc(decided)


def _is_answered(record: Record, waiting: Waiting) -> bool:
    return record.waiting is not waiting and record.answer is not None and record.answer.base == waiting.message.base
