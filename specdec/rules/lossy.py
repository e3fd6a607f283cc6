"""Rules that trade the target's distribution for speed: `exact` is False, and they are used only when named."""

from typing import Any

import numpy as np
from attrs import field, frozen

from specdec.bounds import bounds
from specdec.chance import Dice, Probs
from specdec.interfaces import Rule, TargetProbs, Walk
from specdec.rules.rejection import Rejection
from specdec.tree import Tree


@frozen
class Typical(Rule):
    """Accept every token that the target finds typical, whatever it would have said itself.

    That is p > min(threshold, alpha exp(-H)), H the entropy of p; of the paths accepted the longest is taken, and
    of equally long ones the likeliest (Cai et al., Medusa, arXiv 2401.10774, section 2.3.1).
    """

    exact = False
    threshold: float = field(default=0.09, validator=bounds(0, 1, above=True))
    alpha: float = field(default=0.3, validator=bounds(0, 1, above=True))

    def walk(self, tree: Tree, probs: TargetProbs, dice: Dice) -> Walk:
        children, tokens = tree.children, tree.tokens
        best, waiting = (0, 0.0, list[int]()), [(0.0, list[int]())]
        while waiting:
            score, path = waiting.pop()
            best = max(best, (len(path), score, path), key=lambda candidate: candidate[:2])
            node = path[-1] if path else 0
            p = probs(node).astype(float) if children[node] else np.ones(0)
            limit = min(self.threshold, self.alpha * np.exp(-_entropy(p)))
            typical = [child for child in children[node] if p[tokens[child]] > limit]
            waiting += [(score + float(np.log(p[tokens[child]])), [*path, child]) for child in typical]
        path = best[2]
        return Walk(path, dice.target(probs(path[-1] if path else 0), len(path)))


@frozen
class Lenient(Rejection):
    """Accept as `rejection` does, but as if the draft had been `factor` times as likely (arXiv 2211.17192, A.5)."""

    exact = False
    factor: float = field(default=0.7, validator=bounds(0, 1, above=True))

    def _accepts(self, p: Any, q: Any, child: int, dice: Dice) -> bool:
        return dice.accept(float(p), self.factor * float(q), child)


def _entropy(p: Probs) -> float:
    some = p[p > 0]
    return float(-(some * np.log(some)).sum())
