"""Is a rule what it says it is?"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from specdec.chance import Chance, Dice, Key, Probs
from specdec.interfaces import Rule
from specdec.testing.emitted import Grown, emitted, grown
from specdec.testing.exhaustive import Exhaustive, enumerate_outcomes
from specdec.testing.instances import Instance
from specdec.testing.shapes import Shape, all_shapes
from specdec.tree import Tree


def check_rule(factory: Callable[[], Rule], *, nodes: int = 3, vocab: int = 3) -> None:
    """Put a rule through every outcome on every tree of up to so many nodes, placed, drawn and mixed.

    Rules with `exact = True` must have the target's law, to the last fraction; rules that cannot compute with Fractions
    are given double precision and 1e-12. All must walk a path of the tree, leave their inputs alone, be greedy when
    the target is certain, and keep their heads where rounding leaves nothing over.

    Raises:
        AssertionError: the message says on which tree, and what was broken.
    """
    exact = _computes_with_fractions(factory())
    for seed, shape in enumerate(all_shapes(nodes)):
        instance = Instance.random(vocab, seed, exact=exact, duplicates=True)
        trees = grown(instance, partial(_grow, shape))
        rule = factory()
        for _, tree in trees[:4]:
            _check_walks(rule, instance, tree)
        if rule.exact:
            _check_law(rule, instance, trees, shape)
        _check_greedy(rule, instance, trees[:4])
    _check_rounding(factory())


def _grow(shape: Shape, instance: Instance, dice: Dice) -> Tree:
    return instance.grow(shape, dice)


def _computes_with_fractions(rule: Rule) -> bool:
    """Find out by trying."""
    instance = Instance.random(2, 0)
    tree = instance.grow(Shape((0,), (True,)), Dice(Exhaustive(), 0, 0))
    try:
        rule.walk(tree, 0, instance.law(tree), Dice(Exhaustive(), 0, 0))
    except (TypeError, ValueError, AttributeError):
        return False
    return True


def _check_law(rule: Rule, instance: Instance, trees: Grown, shape: Shape) -> None:
    law = emitted(rule, instance, trees)
    allowed = 0 if instance.exact else 1e-12
    if not law.error(instance.p) <= allowed:
        raise AssertionError(
            f"expected {type(rule).__name__} to say what the target says, got a total variation of "
            f"{float(law.distance(instance.p)):.3g} on {shape}"
        )


def _check_walks(rule: Rule, instance: Instance, tree: Tree) -> None:
    """Every walk goes down the tree, ends in a token that the target may say, and changes nothing."""
    before = tree.tokens.clone(), tree.parents.clone(), None if tree.probs is None else tree.probs.clone()

    def walk(chance: Chance) -> None:
        walk = rule.walk(tree, 0, instance.law(tree), Dice(chance, 0, 0))
        above = 0
        for node in walk.path:
            if not 0 < node < tree.tokens.shape[1] or int(tree.parents[0, node]) != above:
                raise AssertionError(f"expected a path from the root's child down, got {walk.path}")
            above = node
        if not 0 <= walk.token < instance.vocab:
            raise AssertionError(f"expected a token below {instance.vocab}, got {walk.token}")
        if rule.exact and not instance.law(tree)(above)[walk.token] > 0:
            raise AssertionError(f"expected a token that the target may say, got {walk.token} after {walk.path}")

    for _ in enumerate_outcomes(walk):
        pass
    same = torch.equal(before[0], tree.tokens) and torch.equal(before[1], tree.parents)
    if not same or (before[2] is not None and tree.probs is not None and not torch.equal(before[2], tree.probs)):
        raise AssertionError(f"expected {type(rule).__name__} to leave the tree as it is")


def _check_greedy(rule: Rule, instance: Instance, trees: Grown) -> None:
    """A target that is certain is followed, by lossy rules too."""

    def certain(path: tuple[int, ...]) -> tuple[int, ...]:
        row = instance.target(path)
        return tuple(int(token == row.index(max(row))) for token in range(instance.vocab))

    sure = Instance(instance.vocab, certain, instance.draft, instance.placed, instance.exact)
    far = emitted(rule, sure, [(1, tree) for _, tree in trees[:1]]).distance(sure.p)
    if far != 0:
        raise AssertionError(f"expected {type(rule).__name__} to be greedy when the target is certain, got {far}")


class _Unlucky(Chance):
    """Rejects whatever can be rejected, and insists on laws that are laws."""

    def draw(self, weights: Probs, count: int, key: Key) -> list[int]:
        if not np.isfinite(weights).all() or not weights.sum() > 0:
            raise AssertionError(f"expected a law to draw from, got {weights}")
        return [int(token) for token in np.argsort(-weights)[: min(count, np.count_nonzero(weights))]]

    def coin(self, accept: float, of: float, key: Key) -> bool:
        return (1 - 2.0**-53) * float(of) < float(accept)


def _check_rounding(rule: Rule) -> None:
    """In single precision, a draft that differs from the target by rounding leaves nothing over when rejected."""
    q = np.array([0.5, 0.3, 0.2, 0.0], dtype=np.float32)
    p = np.array([q[0] - np.float32(3e-8), q[1], q[2], 0.0], dtype=np.float32)
    tree, dice = Tree.root(torch.tensor([0])), Dice(_Unlucky(), 0, 0)
    tree = tree.draw(torch.tensor([[2]]), torch.from_numpy(q)[None, None], [dice])
    walk = rule.walk(tree, 0, lambda node: p.copy(), dice)
    if not 0 <= walk.token < 3:
        raise AssertionError(f"expected a token with probability where rounding leaves nothing over, got {walk.token}")
