"""What a rule and a policy do together, found by walking every outcome."""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec

from attrs import frozen

from specdec.interfaces import Rule, TreePolicy
from specdec.testing.drafting import drafts
from specdec.testing.instances import Instance
from specdec.testing.optimum import optimum
from specdec.testing.output import Forest, output

SIZES = ((2, 1), (4, 1), (4, 1), (3, 2), (4, 2), (2, 3))
"""Tokens of the vocabulary, and levels of the tree, of each instance that is walked."""
MOST_TREES = 200
TOLERANCE = 1e-12


@frozen
class Verdict:
    """How one pair fared; distances and tokens are exact up to rounding, over all instances.

    `worst_distance` is the largest total variation between what a step decides and the target, `expected_tokens` the
    mean tokens of a step, `optimum` the mean of the most that any lossless rule could decide on these trees (None
    without scipy). `instances` that would take more than a few hundred trees are left out and not counted.
    """

    declared_exact: bool
    exact: bool
    worst_distance: float
    expected_tokens: float
    optimum: float | None
    instances: int


@frozen
class Case:
    """One instance, and every tree that a policy grows on it."""

    instance: Instance
    trees: Forest
    optimum: float | None


def cases(policy: TreePolicy, sizes: Iterable[tuple[int, int]] = SIZES) -> list[Case]:
    """Walk all trees that the policy grows, at temperature 1, in double precision."""
    walked = []
    for seed, (vocab, depth) in enumerate(sizes):
        instance = Instance.random(vocab, seed, exact=False)
        trees = drafts(instance, policy, depth, MOST_TREES)
        if len(trees) <= MOST_TREES:
            best = optimum(instance, trees) if find_spec("scipy") else None
            walked.append(Case(instance, trees, best))
    return walked


def audit(rule: Rule, cases: Sequence[Case]) -> Verdict:
    """Walk every way in which the rule can decide on the trees of these cases."""
    outputs = [output(rule, case.instance, case.trees) for case in cases]
    pairs = list(zip(outputs, [case.instance.p for case in cases], strict=True))
    best = [case.optimum for case in cases if case.optimum is not None]
    return Verdict(
        declared_exact=rule.exact,
        exact=max(float(decided.error(p)) for decided, p in pairs) < TOLERANCE,
        worst_distance=max(float(decided.distance(p)) for decided, p in pairs),
        expected_tokens=sum(float(decided.expected_tokens) for decided in outputs) / len(outputs),
        optimum=sum(best) / len(best) if best else None,
        instances=len(outputs),
    )
