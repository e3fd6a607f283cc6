"""Rules that ship pass the check, and what is wrong in a way of its own fails it."""

import pytest
from attrs import evolve

from specdec.errors import NonFiniteLogits
from specdec.interfaces import Walk
from specdec.rules import Lenient, Match, Rejection, Traversal, Typical
from specdec.testing import check_rule


@pytest.mark.parametrize("rule", [Match, Rejection, Traversal, Typical, Lenient])
def test_rules_pass(rule):
    check_rule(rule, nodes=2)


def test_a_rule_that_overstates_itself_is_found():
    class Wrong(Typical):
        exact = True

    with pytest.raises(AssertionError, match="total variation"):
        check_rule(Wrong, nodes=2)


def test_a_rule_that_leaves_the_tree_is_found():
    class Wrong(Match):
        def walk(self, tree, probs, dice):
            walk = super().walk(tree, probs, dice)
            return Walk(walk.path[::-1], walk.bonus)

    with pytest.raises(AssertionError, match="child down"):
        check_rule(Wrong)


class OneSequence(Match):
    """Decides on all sequences as if they were sampled like the first."""

    def decide(self, trees, logits, prefixes):
        return super().decide(trees, logits, [evolve(prefix, sampling=prefixes[0].sampling) for prefix in prefixes])


class OneSpoilsAll(Match):
    def decide(self, trees, logits, prefixes):
        walks = super().decide(trees, logits, prefixes)
        return next(([walk] * len(walks) for walk in walks if isinstance(walk, Exception)), walks)


class ReadsPadding(Match):
    """Refuses logits that are not finite, were they nobody's."""

    def decide(self, trees, logits, prefixes):
        walks = super().decide(trees, logits, prefixes)
        finite = logits.isfinite().all(-1).all(-1).tolist()
        return [walk if fine else NonFiniteLogits() for walk, fine in zip(walks, finite, strict=True)]


class Hides(Match):
    """Takes what failed for nothing accepted."""

    def decide(self, trees, logits, prefixes):
        walks = super().decide(trees, logits, prefixes)
        return [Walk([], 0) if isinstance(walk, Exception) else walk for walk in walks]


@pytest.mark.parametrize("rule", [OneSequence, OneSpoilsAll, ReadsPadding, Hides])
def test_rules_that_decide_otherwise_on_batches_are_found(rule):
    with pytest.raises(AssertionError, match="expected decide to give"):
        check_rule(rule, nodes=0)
