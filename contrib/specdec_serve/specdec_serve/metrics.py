"""What a server counts, by the names that vLLM's dashboards have where these mean the same."""

from typing import Any

from attrs import define, field
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LABEL = "model_name"
"""The only label that says where; none says who."""


@define(eq=False)
class Metrics:
    """Counters of one server, in a registry of their own."""

    model: str
    registry: CollectorRegistry = field(factory=CollectorRegistry)
    _made: dict[str, Any] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        counter, histogram, gauge = self._counter, self._histogram, self._gauge
        counter("spec_decode_num_drafts", "Trees that were verified.")
        counter("spec_decode_num_draft_tokens", "Tokens that were drafted and asked about.")
        counter("spec_decode_num_accepted_tokens", "Drafted tokens that the target agreed with.")
        counter("generation_tokens", "Tokens that were decided.")
        counter("errors", "Messages that were refused.", "code")
        counter("resumes", "Sessions that were opened again, by whether the target still had them.", "kv")
        counter("frame_bytes", "Bytes of messages on clients' lines.", "direction")
        counter("requests", "Requests for completions, by HTTP status.", "status")
        histogram("verify_forward_seconds", "What a turn with a pass took.", SECONDS)
        histogram(
            "verify_batch_sessions", "Sessions whose trees shared a pass.", (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
        )
        histogram("verify_queue_seconds", "How long a tree waited for its pass and was in it.", SECONDS)
        histogram("time_to_first_token_seconds", "From a request to its first token.", SECONDS)
        histogram("inter_token_latency_seconds", "Time per token after the first.", SECONDS)
        for name, what in (("sessions", "Sessions that are held."), ("kept_tokens", "Tokens that are held of them.")):
            gauge(name, what)
        gauge("connections", "Lines of clients.")
        gauge("requests_running", "Requests for completions that are being answered.")
        gauge("requests_waiting", "Requests for completions that wait.")

    def __getitem__(self, name: str) -> Any:
        return self._made[name]

    def text(self) -> bytes:
        """Write all of it, in Prometheus' format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, what: str, *labels: str) -> None:
        made = Counter(f"specdec_{name}", what, (LABEL, *labels), registry=self.registry)
        self._made[name] = self._labelled(made, labels)

    def _gauge(self, name: str, what: str) -> None:
        self._made[name] = self._labelled(Gauge(f"specdec_{name}", what, (LABEL,), registry=self.registry), ())

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...]) -> None:
        made = Histogram(f"specdec_{name}", what, (LABEL,), buckets=buckets, registry=self.registry)
        self._made[name] = self._labelled(made, ())

    def _labelled(self, made: Any, labels: tuple[str, ...]) -> Any:
        """Fill in the model, or leave other labels to be filled in as `metrics["errors"](code=...)`."""
        return (lambda **others: made.labels(self.model, *others.values())) if labels else made.labels(self.model)
