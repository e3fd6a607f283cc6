"""The loop that policies shape and drafters feed."""

from collections.abc import Collection, Mapping

import numpy as np
import pytest
import torch
from attrs import field, frozen
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor

from specdec import PADDING, Dice, Frontier, Keyed, Tree, TreePolicy, grow
from specdec.errors import TreeError
from specdec.policies import Adaptive, Chain, Dynamic, Static
from tests.specdec.policies.test_policies import VOCAB, context, grown, logits_after, score
from tests.specdec.trees import whole, words


class Twice(TreePolicy):
    """Gives nodes that have children more of them in a second round."""

    def widths(self, tree: Tree) -> Mapping[int, int]:
        return {1: {0: 2}, 3: {0: 2, 1: 1}}.get(len(tree), {})


@frozen
class Kept(TreePolicy):
    """Grows as another policy does, and remembers what it was to choose from."""

    inner: TreePolicy
    trees: list[Tree] = field(factory=list)

    def widths(self, tree: Tree) -> Mapping[int, int]:
        return self.inner.widths(tree)

    def keep(self, tree: Tree) -> Collection[int]:
        self.trees.append(tree)
        return self.inner.keep(tree)


def test_each_node_is_scored_at_most_once_and_only_if_it_grows() -> None:
    asked: list[list[list[int]]] = []

    def counted(frontier: Frontier) -> Float[Tensor, "R M V"]:
        asked.append(frontier.nodes)
        return score(frontier)

    trees = whole(grow(context(2), Twice(), counted))

    assert asked == [[[0], [0]], [[1], [1]]]
    assert [sorted(tree.parents) for tree in trees] == [[-1, 0, 0, 0, 0, 1]] * 2


def test_later_children_are_the_next_best() -> None:
    """What is remembered of a node is what was said of it."""
    (tree,) = grown(Twice(), 1)
    best = logits_after((0,)).argsort(descending=True)[:4].tolist()
    below = logits_after((0, best[0])).argmax()

    assert [token for token, parent in zip(tree.tokens, tree.parents, strict=True) if parent == 0] == best
    assert [token for token, parent in zip(tree.tokens, tree.parents, strict=True) if parent == 1] == [below]


def test_scores_are_log_probabilities_of_paths() -> None:
    for tree in grown(Static((3, 2)), 2):
        for node in range(1, len(tree)):
            parent = tree.parents[node]
            path = tuple(tree.tokens[step] for step in [0, *tree.path(parent)])
            log_q = float(logits_after(path).log_softmax(-1)[tree.tokens[node]])
            assert tree.scores[node] == pytest.approx(tree.scores[parent] + log_q, abs=1e-5)


@pytest.mark.parametrize(
    "policy",
    [Dynamic(depth=4, width=2, size=20), Static((2, 3, 1)), Adaptive(6, 4, 3), Twice()],
    ids=lambda policy: type(policy).__name__,
)
def test_frontiers_see_their_own_path_in_the_order_of_reading(policy: TreePolicy) -> None:
    """`visible` marks, among all columns read so far, exactly the node's ancestors and itself."""
    read: list[list[int]] = [[], []]

    def checked(frontier: Frontier) -> Float[Tensor, "R M V"]:
        assert frontier.start == len(read[0])
        width = max(map(len, frontier.nodes))
        for row, (tree, nodes) in enumerate(zip(frontier.trees, frontier.nodes, strict=True)):
            read[row] += nodes + [PADDING] * (width - len(nodes))
            assert frontier.read[row] == read[row]
            depths = [tree.depths[node] if node >= 0 else 0 for node in read[row]]
            assert frontier.read_depths[row].tolist() == depths
            assert frontier.depths[row].tolist() == depths[frontier.start :]
            assert frontier.columns[row] == {node: place for place, node in enumerate(read[row]) if node >= 0}
            for place, node in enumerate(nodes):
                seen = [read[row][column] for column in frontier.visible[row, place].nonzero()[:, 0].tolist()]
                assert sorted(seen) == [0, *tree.path(node)]
                assert int(frontier.tokens[row, place]) == tree.tokens[node]
                above = int(frontier.above[row, place])
                assert above == 0 if node == 0 else read[row][above] == tree.parents[node]
            for place in range(len(nodes), width):
                assert frontier.visible[row, place].nonzero()[:, 0].tolist() == [frontier.start + place]
                assert int(frontier.tokens[row, place]) == PADDING
                assert int(frontier.above[row, place]) == 0
        return score(frontier)

    trees = whole(grow(context(2), policy, checked))

    assert all(tree.depth >= 2 for tree in trees)


def test_the_rows_of_a_frontier_are_the_sequences_that_are_not_done() -> None:
    numbers: list[list[int]] = []

    def counted(frontier: Frontier) -> Float[Tensor, "R M V"]:
        numbers.append(frontier.sequences)
        assert [tree.tokens[0] for tree in frontier.trees] == frontier.sequences
        return score(frontier)

    trees = grow(context(4, done=(0, 2)), Chain(2), counted)

    assert numbers == [[1, 3]] * 2
    assert [tree and words(tree)[-1] for tree in trees] == [
        None if number in (0, 2) else words(tree)[-1] for number, tree in enumerate(grown(Chain(2), 4))
    ]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=4))
def test_a_sequence_grows_in_a_batch_as_it_grows_alone(rooms: list[int]) -> None:
    """However many nodes its neighbours have, and however soon they have enough."""
    batch = context(len(rooms))
    limits = [len(tokens) + room + 1 for tokens, room in zip(batch.tokens, rooms, strict=True)]
    batch.limits[:] = limits
    for policy in (Adaptive(5, 3, 2, gain=0.5), Dynamic(3, 2, 4)):
        alone = []
        for number, room in enumerate(rooms):
            one = context(number + 1, room, done=tuple(range(number)))
            alone.append(grow(one, policy, score)[number])

        assert [words(tree) for tree in grow(batch, policy, score)] == [words(tree) for tree in alone]


def test_children_are_ranked_with_the_noise_of_the_target() -> None:
    """What the target is about to draw, if its law is the drafter's, is the first child."""
    warm = context(3, temperature=0.8)
    trees = whole(grow(warm, Chain(3), score))

    for row, (sampling, tree) in enumerate(zip(warm.sampling, trees, strict=True)):
        dice = Dice(Keyed(), sampling.seed, 1)
        path: tuple[int, ...] = (row,)
        for depth in range(3):
            probs = (logits_after(path) / 0.8).softmax(-1).numpy()
            path = (*path, dice.target(probs, depth))
        assert words(tree)[-1] == path


def test_a_policy_chooses_from_all_that_was_grown() -> None:
    policy = Kept(Dynamic(depth=2, width=3, size=4))
    (kept,) = grown(policy, 1)
    (everything,) = policy.trees

    assert len(everything) == 1 + 3 + 9
    assert len(kept) == 1 + 4
    assert set(words(kept)) <= set(words(everything))


@pytest.mark.parametrize("node", [-1, 1, 7])
def test_widths_of_nodes_that_there_are_not(node: int) -> None:
    class Beyond(TreePolicy):
        def widths(self, tree: Tree) -> Mapping[int, int]:
            return {0: 1, node: 1}

    with pytest.raises(TreeError, match=rf"nodes of the tree's 1, got those of \[.*{node}"):
        grown(Beyond(), 1)


def test_a_vocabulary_that_is_used_up_ends_the_growth() -> None:
    class Greedy(TreePolicy):
        def widths(self, tree: Tree) -> Mapping[int, int]:
            return {0: 5}

    (tree,) = grown(Greedy(), 1)

    assert sorted(tree.tokens[1:]) == list(range(VOCAB))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("policy", [Static((3, 3)), Static((3, 3), sampled=True)])
def test_what_is_not_to_be_drafted_is_not(temperature: float, policy: TreePolicy) -> None:
    """Minus infinity, at any temperature, drawn or placed; a sequence with nothing else has its root alone."""

    def even(frontier: Frontier) -> Float[Tensor, "R M V"]:
        logits = torch.zeros(*frontier.tokens.shape, VOCAB)
        logits[..., 1::2] = -torch.inf
        logits[0] = -torch.inf
        return logits

    first, *others = whole(grow(context(3, temperature=temperature), policy, even))

    assert words(first) == [(0,)]
    assert all(len(tree) > 4 for tree in others)
    assert all(token % 2 == 0 for tree in others for token in tree.tokens[1:])


@pytest.mark.parametrize("policy", [Chain(1), Static((2,), sampled=True), Twice()])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_drafters_logits_are_left_alone(policy: TreePolicy, temperature: float) -> None:
    kept = torch.randn(1, 1, VOCAB)
    before = kept.clone()
    grow(context(1, temperature=temperature), policy, lambda frontier: kept)

    assert torch.equal(kept, before)


@given(st.data())
def test_children_are_the_best_as_by_sorting(data: st.DataObject) -> None:
    """Few or many, with and without ties, and with less to find than was wanted; what was there before is left out."""
    size = data.draw(st.integers(1, 40))
    numbers = st.sampled_from([-np.inf, -2.5, -1.0, -0.25]) | st.floats(-100, 0, width=32)
    logits = torch.tensor(data.draw(st.lists(numbers, min_size=size, max_size=size).filter(lambda row: max(row) > -99)))
    width = data.draw(st.integers(1, size + 3))
    (tree,) = whole(grow(context(), Static((width,)), lambda frontier: logits[None, None]))
    log_q = logits.log_softmax(-1)
    expected = log_q.sort(descending=True).values[: min(width, int(logits.isfinite().sum()))]

    assert len(set(tree.tokens[1:])) == len(expected)
    assert log_q[tree.tokens[1:]].tolist() == tree.scores[1:] == expected.tolist()


@pytest.mark.parametrize("width", [1, 3, 8])
@pytest.mark.parametrize("size", [16, 100, 5000])
def test_of_few_equal_children_the_lowest_ids_come_first(width: int, size: int) -> None:
    """As the target decides too."""
    logits = torch.zeros(size)
    logits[::2] = 1.0
    (tree,) = whole(grow(context(), Static((width,)), lambda frontier: logits[None, None]))

    assert tree.tokens[1:] == list(range(0, 2 * width, 2))
