"""Is a rule what it says it is?"""

from collections.abc import Callable

import numpy as np

from specdec.chance import Chance, Dice, Key, Probs
from specdec.interfaces import Rule
from specdec.testing.check_decide import check_decide
from specdec.testing.exhaustive import Exhaustive, enumerate_outcomes
from specdec.testing.guards import checking, described, unchanged
from specdec.testing.instances import Instance
from specdec.testing.output import Forest, all_trees, output
from specdec.testing.shapes import Shape, all_shapes
from specdec.tree import Tree


def check_rule(factory: Callable[[], Rule], *, nodes: int = 3, vocab: int = 3) -> None:
    """Put a rule through every outcome on every tree of up to so many nodes, placed, drawn and mixed.

    Rules with `exact = True` must have the target's probabilities, to the last fraction; rules that cannot compute with
    Fractions are given double precision and 1e-12. All must walk a path of the tree, leave their inputs alone, be
    greedy when the target is certain, and keep their heads where rounding leaves nothing over. `decide` must say of
    a batch what `walk` says of each sequence, and let no sequence suffer from another's failure.

    Raises:
        AssertionError: the message says what was broken, and on which tree.
    """
    exact = _computes_with_fractions(factory())
    for seed, shape in enumerate(all_shapes(nodes)):
        instance = Instance.random(vocab, seed, exact=exact, duplicates=True)
        trees = all_trees(instance, lambda of, dice, shape=shape: of.grow(shape, dice))  # type: ignore[misc]
        rule = factory()
        for _, tree in trees[:4]:
            with checking(described(tree)):
                _check_walks(rule, instance, tree)
        if rule.exact:
            _check_exact(rule, instance, trees, shape)
        _check_greedy(rule, instance, trees[0][1])
    _check_rounding(factory())
    check_decide(factory())


def _computes_with_fractions(rule: Rule) -> bool:
    """Find out by trying."""
    instance = Instance.random(2, 0)
    tree = instance.grow(Shape((0,), (True,)), Dice(Exhaustive(), 0, 0))
    try:
        rule.walk(tree, instance.probs(tree), Dice(Exhaustive(), 0, 0))
    except (TypeError, ValueError, AttributeError):
        return False
    return True


def _check_exact(rule: Rule, instance: Instance, trees: Forest, shape: Shape) -> None:
    decided = output(rule, instance, trees)
    allowed = 0 if instance.exact else 1e-12
    if not decided.error(instance.p) <= allowed:
        raise AssertionError(
            f"expected {type(rule).__name__} to have the target's probabilities, got a total variation of "
            f"{float(decided.distance(instance.p)):.3g} on {shape}"
        )


def _check_walks(rule: Rule, instance: Instance, tree: Tree) -> None:
    """Every walk goes down the tree, ends in a token that the target may say, and changes nothing."""
    probs = instance.probs(tree)

    def walk(chance: Chance) -> None:
        walk = rule.walk(tree, probs, Dice(chance, 0, 0))
        last = walk.path[-1] if walk.path else 0
        if last not in range(len(tree)) or list(walk.path) != tree.path(last):
            raise AssertionError(f"expected a path from the root's child down, got {walk.path}")
        if not 0 <= walk.bonus < instance.vocab:
            raise AssertionError(f"expected a bonus token below {instance.vocab}, got {walk.bonus}")
        if rule.exact and not probs(last)[walk.bonus] > 0:
            raise AssertionError(f"expected a bonus token that the target may say, got {walk.bonus} after {walk.path}")

    with unchanged(tree, type(rule).__name__):
        for _ in enumerate_outcomes(walk):
            pass


def _check_greedy(rule: Rule, instance: Instance, tree: Tree) -> None:
    """A target that is certain is followed, by lossy rules too."""

    def certain(path: tuple[int, ...]) -> tuple[int, ...]:
        row = instance.target(path)
        return tuple(int(token == row.index(max(row))) for token in range(instance.vocab))

    sure = Instance(instance.vocab, certain, instance.draft, instance.placed, instance.exact)
    distance = output(rule, sure, [(1, tree)]).distance(sure.p)
    if distance != 0:
        raise AssertionError(
            f"expected {type(rule).__name__} to be greedy when the target is certain, got a total variation of "
            f"{float(distance):.3g}; {described(tree)}"
        )


class _Unlucky(Chance):
    """Rejects whatever can be rejected, and insists on probabilities to draw from."""

    def draw(self, weights: Probs, count: int, key: Key) -> list[int]:
        if not np.isfinite(weights).all() or not weights.sum() > 0:
            raise AssertionError(f"expected probabilities to draw from, got {weights}")
        return [int(token) for token in np.argsort(-weights)[: min(count, np.count_nonzero(weights))]]

    def coin(self, accept: float, of: float, key: Key) -> bool:
        return (1 - 2.0**-53) * float(of) < float(accept)


def _check_rounding(rule: Rule) -> None:
    """In single precision, a draft that differs from the target by rounding leaves nothing over when rejected."""
    q = np.array([0.5, 0.3, 0.2, 0.0], dtype=np.float32)
    p = np.array([q[0] - np.float32(3e-8), q[1], q[2], 0.0], dtype=np.float32)
    dice = Dice(_Unlucky(), 0, 0)
    walk = rule.walk(Tree.root(0).draw(0, 2, q, dice), lambda node: p.copy(), dice)
    if not 0 <= walk.bonus < 3:
        raise AssertionError(f"expected a token with probability where rounding leaves nothing over, got {walk.bonus}")
