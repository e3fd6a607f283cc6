"""Evidence against a distribution from samples, for vocabularies that cannot be enumerated."""

from collections.abc import Sequence
from math import inf, lgamma, log

import numpy as np
from attrs import define, field

from specdec.chance import Probs


def _normalised(p: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(x) / float(sum(p)) for x in p)


@define
class Evidence:
    """An e-process for "these counts come from p": under it, `value` ever exceeds c with probability at most 1/c.

    So a test may look after every sample and stop when it likes. The alternative is a Dirichlet mixture of all
    distributions
    (Lindon and Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022).
    """

    p: tuple[float, ...] = field(converter=_normalised)
    counts: list[int] = field(init=False)
    total: int = 0

    def __attrs_post_init__(self) -> None:
        self.counts = [0] * len(self.p)

    def add(self, outcome: int, times: int = 1) -> None:
        """Count an outcome."""
        self.counts[outcome] += times
        self.total += times

    @property
    def log_value(self) -> float:
        """The logarithm of the evidence; infinite once something impossible was counted."""
        if any(count and not p for count, p in zip(self.counts, self.p, strict=True)):
            return inf
        size, pairs = len(self.p), list(zip(self.counts, self.p, strict=True))
        marginal = lgamma(size) - lgamma(size + self.total) + sum(lgamma(1 + count) for count, _ in pairs)
        return marginal - sum(count * log(p) for count, p in pairs if count)

    def rejects(self, rate: float = 1e-9) -> bool:
        """Say whether p is refuted, wrongly so with probability at most `rate` at any time of asking."""
        return self.log_value > -log(rate)


def bins(p: Probs, q: Probs, count: int = 16) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Sort tokens into groups by p / q, of about equal p + q each: where a wrong rule errs in one direction."""
    order = np.argsort(p / np.maximum(q, 1e-30) + (p > 0), kind="stable")
    reached = np.cumsum((p + q)[order]) / float((p + q).sum())
    groups = np.empty(len(p), dtype=np.int64)
    groups[order] = np.minimum((reached * count).astype(np.int64), count - 1)
    return groups
