"""A server's Prometheus metrics, named as vLLM's where they mean the same."""

from typing import Any

from attrs import define, field
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LABEL = "model_name"
"""The label that all metrics have; none has a tenant."""


@define(eq=False)
class Metrics:
    """Metrics of one server, in their own registry."""

    model: str
    registry: CollectorRegistry = field(factory=CollectorRegistry)
    _made: dict[str, Any] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        counter, histogram, gauge = self._counter, self._histogram, self._gauge
        counter("spec_decode_num_drafts", "Verified trees.")
        counter("spec_decode_num_draft_tokens", "Drafted tokens that were verified.")
        counter("spec_decode_num_accepted_tokens", "Drafted tokens that were accepted.")
        counter("generation_tokens", "Decided tokens.")
        counter("errors", "Refused messages, by reason.", "code")
        counter("resumes", "Reopened sessions; kv is warm if the server still had them, else cold.", "kv")
        counter("frame_bytes", "Bytes of messages on clients' WebSockets.", "direction")
        counter("requests", "Requests to the OpenAI endpoints, by HTTP status; 499 if the client went away.", "status")
        histogram("verify_forward_seconds", "Duration of a turn in which trees were verified.", SECONDS)
        histogram("verify_batch_sessions", "Sessions that shared a pass.", (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0))
        histogram("verify_queue_seconds", "Time from a tree's arrival to its answer.", SECONDS)
        histogram("time_to_first_token_seconds", "Time from a request to its first token.", SECONDS)
        histogram("inter_token_latency_seconds", "Time per token after the first step.", SECONDS)
        gauge("sessions", "Sessions in the cache.")
        gauge("kept_tokens", "Tokens of the sessions in the cache.")
        gauge("connections", "Connected drafters.")
        gauge("requests_running", "Completion requests that are running.")
        gauge("requests_waiting", "Completion requests that wait.")

    def __getitem__(self, name: str) -> Any:
        return self._made[name]

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
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
        """Fill in the model; other labels are left to the caller, as in `metrics["errors"](code=...)`."""
        return (lambda **others: made.labels(self.model, *others.values())) if labels else made.labels(self.model)
