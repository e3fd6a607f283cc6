"""Does a policy give shapes that can be grown, and nothing but shapes?"""

from collections.abc import Callable, Collection, Mapping
from numbers import Integral

from specdec.chance import Keyed
from specdec.interfaces import TreePolicy
from specdec.rules import Match, Rejection, Traversal
from specdec.testing.drafting import draft, drafts
from specdec.testing.guards import checking, described, unchanged
from specdec.testing.instances import Instance
from specdec.testing.output import output
from specdec.tree import Tree

MOST_NODES = 512
MOST_TREES = 100
SIZES = ((2, 1), (3, 2), (5, 4), (2, 3))
"""Tokens of the vocabulary, and levels that there is room for."""


def check_policy(factory: Callable[[], TreePolicy]) -> None:
    """Grow trees of all kinds with a policy, and walk every outcome of the exact rules on them.

    Widths are whole numbers from 0 up for nodes of the tree, the same each time for the same tree; growth ends by
    itself, with at most 512 nodes; a kept node's parent is kept; the tree is not written to; a sequence's tree does
    not depend on the sequences and batches before; and what is decided on the trees has the target's probabilities.
    Widths may depend on all that was drawn so far, for nothing can be taken back. A policy sees one tree at a
    time, so it cannot read other sequences but by what it remembers.

    Raises:
        AssertionError: the message says what was broken, by which policy, at which temperature and on which tree.
    """
    for seed, (vocab, depth) in enumerate(SIZES):
        instance = Instance.random(vocab, seed, exact=False)
        for temperature in (0.0, 1.0):
            with checking(f"{factory()} at temperature {temperature:g}"):
                _check_alone(factory, instance, depth, temperature)
                _check_endings(factory, instance, temperature)
        with checking(f"{factory()} at temperature 1"):
            _check_exact(factory(), instance, depth)


class _Watched(TreePolicy):
    """Passes on what a policy answers, once it was looked at."""

    def __init__(self, policy: TreePolicy) -> None:
        self.policy = policy
        self.sampled, self.draws, self.sharpness = policy.sampled, policy.draws, policy.sharpness

    def widths(self, tree: Tree) -> Mapping[int, int]:
        if len(tree) > MOST_NODES:
            raise AssertionError(f"expected growth to end, got {len(tree)} nodes on {tree.depth} levels")
        with checking(described(tree)):
            with unchanged(tree, "widths"):
                widths = self.policy.widths(tree)
            with unchanged(tree, "widths"):
                again = self.policy.widths(tree)
            _check_widths(widths, tree)
            if dict(widths) != dict(again):
                raise AssertionError(f"expected the same widths for the same tree, got {widths} and then {again}")
        return widths

    def keep(self, tree: Tree) -> Collection[int]:
        with checking(described(tree)), unchanged(tree, "keep"):
            keep = self.policy.keep(tree)
            if not all(map(_is_whole, keep)):
                raise AssertionError(f"expected numbers of nodes to keep, got {keep}")
            tree.select(keep)
        return keep


def _check_widths(widths: Mapping[int, int], tree: Tree) -> None:
    if not isinstance(widths, Mapping):
        raise AssertionError(f"expected a mapping from nodes to widths, got {widths!r}")
    for node, width in widths.items():
        if not _is_whole(node) or not 0 <= node < len(tree):
            raise AssertionError(f"expected widths of nodes 0 to {len(tree) - 1}, got one of {node!r}")
        if not _is_whole(width) or width < 0:
            raise AssertionError(f"expected whole widths of at least 0, got {width!r} for node {node}")


def _is_whole(number: object) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool)


def _check_endings(factory: Callable[[], TreePolicy], instance: Instance, temperature: float) -> None:
    """Growth ends by itself where there is always room, if the drafter is certain too, or has tokens without end."""
    size = MOST_NODES + 1
    certain = Instance(instance.vocab, instance.target, lambda _: (1,) + (0,) * (instance.vocab - 1), instance.placed)
    endless = Instance(size, instance.target, lambda _: (1,) * size, instance.placed)
    for drafter in (instance, certain, endless):
        draft(drafter, _Watched(factory()), Keyed(), {0: size}, temperature)


def _check_alone(factory: Callable[[], TreePolicy], instance: Instance, depth: int, temperature: float) -> None:
    """Sequences of one batch, and batches one after the other, are as if each were alone."""
    rooms, policy = {0: depth, 1: 1, 2: depth + 2, 3: depth}, _Watched(factory())
    backwards = dict(reversed(rooms.items()))
    batches = [(seeds, draft(instance, policy, Keyed(), seeds, temperature)) for seeds in (rooms, rooms, backwards)]
    for seed, room in rooms.items():
        (alone,) = draft(instance, _Watched(factory()), Keyed(), {seed: room}, temperature)
        for seeds, batch in batches:
            tree = batch[[*seeds].index(seed)]
            if tree.tokens != alone.tokens or tree.parents != alone.parents:
                raise AssertionError(
                    f"expected a sequence to get the same tree in every batch, got {described(tree)}, "
                    f"and alone {described(alone)}"
                )


def _check_exact(policy: TreePolicy, instance: Instance, depth: int) -> None:
    trees = drafts(instance, _Watched(policy), depth, MOST_TREES)
    if len(trees) > MOST_TREES or max(len(tree) for _, tree in trees) > 20:
        return
    for rule in (Match(), Rejection(), Traversal()):
        error = float(output(rule, instance, trees).error(instance.p))
        if error > 1e-12:
            raise AssertionError(
                f"expected the target's probabilities with {type(rule).__name__}, got an error of {error:.3g}"
            )
