"""Policies that ship pass the check, and what is wrong in a way of its own fails it."""

import pytest
from attrs import field, frozen

from specdec.policies import Adaptive, Auto, Chain, Dynamic, Hybrid, Sequoia, Static
from specdec.testing import check_policy

POLICIES = {
    "chain": Chain,
    "drawn chain": lambda: Chain(3, sampled=True),
    "static": Static,
    "drawn": lambda: Static((2, 2), sampled=True),
    "hybrid": Hybrid,
    "dynamic": Dynamic,
    "sequoia": Sequoia.fitted,
    "drawn sequoia": lambda: Sequoia.fitted(size=5, sampled=True),
    "adaptive": Adaptive,
    "auto": Auto,
    "small auto": lambda: Auto(depth=2, width=2, size=3),
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_policies_pass(policy):
    check_policy(policy)


class Negative(Chain):
    def widths(self, tree):
        return {node: -width for node, width in super().widths(tree).items()}


class Fractional(Chain):
    def widths(self, tree):
        return dict.fromkeys(super().widths(tree), 0.5)


class Elsewhere(Chain):
    """Wants children of a node that is not there."""

    def widths(self, tree):
        return {len(tree): 1} if len(tree) < 3 else {}


class Orphans(Static):
    def keep(self, tree):
        return [node for node, depth in enumerate(tree.depths) if depth != 1]


class Mask(Static):
    """Answers whether to keep each node, where the nodes are wanted."""

    def keep(self, tree):
        return [depth < 2 for depth in tree.depths]


class WritesProbs(Hybrid):
    """Has the tree say that it was drawn from other probabilities."""

    def widths(self, tree):
        for probs in tree.probs.values():
            probs[:] = probs[::-1].copy()
        return super().widths(tree)


class WritesTokens(Static):
    def keep(self, tree):
        tree.tokens[-1] = 0
        return super().keep(tree)


class WritesLeaves(Static):
    """Writes to what the tree has worked out of its own lists."""

    def widths(self, tree):
        tree.leaves.append(0)
        return super().widths(tree)


@frozen
class Remembers(Static):
    """Has shapes for a few answers only."""

    seen: list = field(factory=list, repr=False)

    def widths(self, tree):
        self.seen.append(tree)
        return super().widths(tree) if len(self.seen) < 8 else {}


@frozen
class Neighbours(Static):
    """Grows the first of its trees only."""

    roots: list = field(factory=list, repr=False)

    def widths(self, tree):
        if tree.depth == 0:
            self.roots.append(tree.tokens)
        return super().widths(tree) if len({id(tokens) for tokens in self.roots}) == 1 else {}


class Endless(Chain):
    """Relies on the room that a sequence has."""

    def widths(self, tree):
        return dict.fromkeys(tree.leaves, 1)


class EndlessWhenSure(Chain):
    """Ends by the drafter's doubts, and not where it has none."""

    def widths(self, tree):
        return {node: 1 for node in tree.leaves if tree.scores[node] > -2}


class EndlessWide(Chain):
    """Ends where the vocabulary does."""

    def widths(self, tree):
        return {0: 1}


@frozen
class StopsWithOthers(Chain):
    """Counts the trees that are still asked about, and ends all where there are fewer than before."""

    calls: list = field(factory=lambda: [0] * 99, repr=False)

    def widths(self, tree):
        if tree.depth == 0 and any(self.calls[1:]):
            self.calls[:] = [0] * 99
        self.calls[tree.depth] += 1
        fewer = tree.depth > 1 and self.calls[tree.depth - 1] < self.calls[tree.depth - 2]
        return {} if fewer else super().widths(tree)


class Fails(Chain):
    def widths(self, tree):
        return {0: 1 // (2 - len(tree))}


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (Negative, "whole widths of at least 0"),
        (Fractional, "whole widths of at least 0"),
        (Elsewhere, "widths of nodes 0 to 0"),
        (Orphans, "orphans"),
        (Mask, "numbers of nodes to keep"),
        (WritesProbs, "leave the tree"),
        (WritesTokens, "leave the tree"),
        (WritesLeaves, "leave the tree"),
        (Remembers, "same widths|same tree"),
        (Neighbours, "same widths|same tree"),
        (Endless, "growth to end"),
        (EndlessWhenSure, "growth to end"),
        (EndlessWide, "growth to end"),
        (lambda: StopsWithOthers(8), "same tree in every batch"),
        (Fails, "ZeroDivisionError"),
    ],
)
def test_policies_that_do_more_than_shape_are_found(policy, why):
    shared = policy()
    with pytest.raises(AssertionError, match=why) as error:
        check_policy(lambda: shared)
    assert str(shared) in str(error.value)
    assert "at temperature" in str(error.value)
    assert "a tree of tokens [0" in str(error.value) or why == "growth to end"
