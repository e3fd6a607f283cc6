"""Does a policy give shapes that can be grown, and nothing but shapes?"""

from collections.abc import Callable
from itertools import islice

import torch
from torch import Tensor

from specdec.chance import Chance, Keyed
from specdec.errors import TreeError
from specdec.grow import grow
from specdec.interfaces import TreePolicy
from specdec.rules import Match, Rejection, Traversal
from specdec.testing.drafting import context, draft, score
from specdec.testing.emitted import Grown, emitted
from specdec.testing.exhaustive import enumerate_outcomes
from specdec.testing.instances import Instance
from specdec.tree import Tree

MOST_ROUNDS = 1000
MOST_TREES = 100


def check_policy(factory: Callable[[], TreePolicy]) -> None:
    """Grow trees of all kinds with a policy, and walk every outcome of the exact rules on them.

    Widths are whole numbers from 0 up, one per node; growth ends; a kept node's parent is kept; the tree is not written
    to; a row's tree does not depend on its neighbours, nor on the batches before; and what is decided on the trees
    has the target's law. Widths may depend on all that was drawn so far, for nothing can be taken back.

    Raises:
        AssertionError: the message says what was broken.
    """
    for seed, (vocab, depth) in enumerate(((2, 1), (3, 2), (5, 4), (2, 3))):
        instance = Instance.random(vocab, seed, exact=False)
        for temperature in (0, 1):
            _check_alone(factory, instance, depth, temperature)
        _check_law(factory(), instance, depth)


class _Watched(TreePolicy):
    """Passes on what a policy says, once it was looked at."""

    def __init__(self, policy: TreePolicy) -> None:
        self.policy, self.rounds = policy, 0
        self.sampled, self.draws = policy.sampled, policy.draws

    def widths(self, tree: Tree) -> Tensor:
        self.rounds += 1
        if self.rounds > MOST_ROUNDS:
            raise AssertionError(f"expected growth to end, got {MOST_ROUNDS} rounds")
        widths = _untouched(tree, self.policy.widths)
        if widths.shape != tree.tokens.shape or widths.is_floating_point() or widths.dtype == torch.bool:
            raise AssertionError(
                f"expected whole widths of shape {tuple(tree.tokens.shape)}, got {widths.dtype} {tuple(widths.shape)}"
            )
        if bool((widths < 0).any()):
            raise AssertionError(f"expected widths of at least 0, got {int(widths.min())}")
        return widths

    def keep(self, tree: Tree) -> Tensor:
        keep = _untouched(tree, self.policy.keep)
        if keep.shape != tree.tokens.shape or keep.dtype != torch.bool:
            raise AssertionError(f"expected to be told which of {tuple(tree.tokens.shape)} to keep, got {keep.dtype}")
        try:
            tree.select(keep)
        except TreeError as error:
            raise AssertionError(f"expected the parents of kept nodes to be kept: {error}") from error
        return keep


def _untouched(tree: Tree, ask: Callable[[Tree], Tensor]) -> Tensor:
    parts = [part for part in (tree.tokens, tree.parents, tree.scores, tree.drawn, tree.probs) if part is not None]
    before = [part.clone() for part in parts]
    answer = ask(tree)
    if not all(torch.equal(one, other) for one, other in zip(before, parts, strict=True)):
        raise AssertionError("expected the policy to leave the tree as it is")
    return answer


def _check_alone(factory: Callable[[], TreePolicy], instance: Instance, depth: int, temperature: int) -> None:
    """Rows of one batch, and batches one after the other, are as if each were alone."""
    policy = _Watched(factory())
    together = grow(context(Keyed(), depth, temperature, rows=3), policy, score(instance))
    policy.rounds = 0
    again = grow(context(Keyed(), depth, temperature, rows=3), policy, score(instance))
    if not torch.equal(together.tokens, again.tokens) or not torch.equal(together.parents, again.parents):
        raise AssertionError("expected the same tree for the same batch the second time")
    alone = draft(instance, _Watched(factory()), Keyed(), depth, temperature)
    size = alone.tokens.shape[1]
    first = together.tokens[:1, :size], together.parents[:1, :size]
    same = torch.equal(first[0], alone.tokens) and torch.equal(first[1], alone.parents)
    if not same or bool((together.tokens[0, size:] >= 0).any()):
        raise AssertionError("expected a row's tree not to depend on its neighbours")


def _check_law(policy: TreePolicy, instance: Instance, depth: int) -> None:
    def run(chance: Chance) -> Tree:
        return draft(instance, _Watched(policy), chance, depth)

    trees: Grown = list(islice(enumerate_outcomes(run), MOST_TREES + 1))
    if len(trees) > MOST_TREES or max(tree.tokens.shape[1] for _, tree in trees) > 20:
        return
    for rule in (Match(), Rejection(), Traversal()):
        far = float(emitted(rule, instance, trees).error(instance.p))
        if far > 1e-12:
            raise AssertionError(f"expected the target's law with {type(rule).__name__}, got it broken by {far:.3g}")
