"""What a run is measured by; each figure has one definition, and it stands here.

A *step* is one pass of the target for one sequence. Tokens after an end are never counted. The names are those of
vLLM's metrics where it has the same.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from attrs import define, field, frozen

from specdec.context import Step
from specdec.tree import Tree


@define
class SequenceMetrics:
    """Counts of one request."""

    steps: int = 0
    tokens: int = 0
    drafted: int = 0
    accepted: int = 0

    @property
    def acceptance_length(self) -> float:
        """Mean tokens decided per step, the target's own token included."""
        return self.tokens / self.steps if self.steps else 0.0


@frozen
class Summary:
    """The figures of a run.

    `acceptance_length` is tokens per step over all steps (micro), `acceptance_length_per_request` the mean of each
    request's own (macro). `acceptance_rate` is drafted tokens accepted over drafted tokens verified.
    `acceptance_by_position[i]` is the share of steps whose i-th drafted token was accepted.
    """

    steps: int
    tokens: int
    acceptance_length: float
    acceptance_length_per_request: float
    acceptance_rate: float
    acceptance_by_position: tuple[float, ...]


@define
class Metrics:
    """Counts steps as they come."""

    sequences: dict[int, SequenceMetrics] = field(factory=lambda: defaultdict(SequenceMetrics))
    _accepted_at: Counter[int] = field(factory=Counter)

    def observe(self, trees: Sequence[Tree | None], step: Step) -> None:
        """Count a step, as cut at its ends."""
        for number, (tree, tokens, accepted) in enumerate(zip(trees, step.lengths, step.accepted, strict=True)):
            if tree is None or tokens == 0:
                continue
            counts = self.sequences[number]
            counts.steps += 1
            counts.tokens += tokens
            counts.drafted += len(tree) - 1
            counts.accepted += accepted
            self._accepted_at.update(range(accepted))

    def summary(self) -> Summary:
        """Work out the figures of what was seen so far."""
        rows = list(self.sequences.values())
        steps, tokens = sum(row.steps for row in rows), sum(row.tokens for row in rows)
        drafted, accepted = sum(row.drafted for row in rows), sum(row.accepted for row in rows)
        deepest = max(self._accepted_at, default=-1) + 1
        return Summary(
            steps=steps,
            tokens=tokens,
            acceptance_length=tokens / steps if steps else 0.0,
            acceptance_length_per_request=sum(row.acceptance_length for row in rows) / len(rows) if rows else 0.0,
            acceptance_rate=accepted / drafted if drafted else 0.0,
            acceptance_by_position=tuple(self._accepted_at[depth] / steps for depth in range(deepest)),
        )
