"""Trees against the obvious way to all that is asked of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specdec import Dice, Keyed, Probs, Tree
from specdec.errors import TreeError
from tests.specdec.trees import Node, lineage, node_lists, tree_of, words


@given(node_lists())
def test_ancestors_depths_and_paths_are_those_of_walking_up(nodes: list[Node]) -> None:
    tree = Tree.of(*zip(*nodes, strict=True))

    for node in range(len(nodes)):
        up = lineage(nodes, node)
        assert tree.ancestors[node] == sum(1 << above for above in up)
        assert tree.depths[node] == len(up) - 1
        assert tree.path(node) == up[::-1][1:]


@pytest.mark.parametrize("size", [1, 2, 3, 8, 9, 64, 65, 200])
def test_chains_of_any_length_are_seen_to_the_root(size: int) -> None:
    tree = Tree.of([0] * size, range(-1, size - 1))

    assert tree.ancestors == [2 ** (node + 1) - 1 for node in range(size)]


@given(node_lists())
def test_children_leaves_and_the_depth(nodes: list[Node]) -> None:
    tree = tree_of(nodes)
    depths = [len(lineage(nodes, node)) - 1 for node in range(len(nodes))]

    assert len(tree) == len(nodes)
    assert tree.children == [[n for n, (_, parent) in enumerate(nodes) if parent == node] for node in range(len(nodes))]
    assert tree.depth == max(depths)
    assert tree.leaves == [node for node, depth in enumerate(depths) if depth == max(depths)]


@given(node_lists(vocab=3), st.lists(st.integers(0, 2), max_size=5))
def test_following_tokens_ends_where_the_tree_does(nodes: list[Node], tokens: list[int]) -> None:
    """Of twins the earlier one is taken."""
    tree = tree_of(nodes)
    path = tree.follow(tokens)
    below = [node for node, (token, parent) in enumerate(nodes) if parent == [0, *path][-1]]

    assert [tree.tokens[node] for node in path] == tokens[: len(path)]
    assert path == (tree.path(path[-1]) if path else [])
    for node, parent in zip(path, [0, *path], strict=False):
        assert node == min(twin for twin in tree.children[parent] if tree.tokens[twin] == tree.tokens[node])
    assert len(path) == len(tokens) or tokens[len(path)] not in [tree.tokens[node] for node in below]


@given(node_lists(), st.data())
def test_placing_adds_exactly_the_nodes_given(nodes: list[Node], data: st.DataObject) -> None:
    """In their order, and neither the tree before nor anything else in it changes."""
    tree, before = tree_of(nodes), tree_of(nodes)
    added = data.draw(st.lists(st.tuples(st.integers(0, 4), st.integers(0, len(nodes) - 1)), max_size=4))
    grown = tree.place([(token, parent, -3.0) for token, parent in added])

    assert list(zip(grown.tokens, grown.parents, strict=True)) == nodes + added
    assert grown.scores == before.scores + [-3.0] * len(added)
    assert grown.depths == tree_of(nodes + added).depths
    assert grown.drawn == frozenset()
    assert (tree.tokens, tree.parents, tree.scores) == (before.tokens, before.parents, before.scores)


@pytest.mark.parametrize("parent", [1, 5, -1])
def test_a_node_without_a_parent_is_refused(parent: int) -> None:
    """A node may not hang from one that is placed at the same time either."""
    with pytest.raises(TreeError, match=rf"expected parents among the tree's 1 nodes, got .*{parent}"):
        Tree.root(3).place([(1, 0, 0.0), (1, parent, 0.0)])


def test_a_negative_token_is_refused() -> None:
    with pytest.raises(TreeError, match="expected tokens of at least 0, got -1"):
        Tree.root(3).place([(1, 0, 0.0), (-1, 0, 0.0)])


@pytest.mark.parametrize(
    ("tokens", "parents"), [([], []), ([1], []), ([1], [0]), ([1, 2], [-1, 1]), ([1, 2, 3], [-1, 2, 0])]
)
def test_lists_that_are_no_tree_are_refused(tokens: list[int], parents: list[int]) -> None:
    with pytest.raises(TreeError, match="expected"):
        Tree.of(tokens, parents)


@given(node_lists(), st.randoms(use_true_random=False))
def test_selecting_keeps_the_words_of_what_is_kept(nodes: list[Node], random: object) -> None:
    """Numbers change, words and scores do not, whatever order the nodes are named in; nothing is invented."""
    tree, keep = tree_of(nodes), {0}
    for node, (_, above) in enumerate(nodes):
        if above in keep and random.random() < 0.7:  # type: ignore[attr-defined]
            keep.add(node)
    kept = tree.select(sorted(keep, reverse=True))
    expected = [tuple(nodes[step][0] for step in lineage(nodes, node)[::-1]) for node in keep]

    assert words(kept) == sorted(expected)
    assert kept.scores == [tree.scores[node] for node in sorted(keep)]
    assert kept.depths == tree_of(list(zip(kept.tokens, kept.parents, strict=True))).depths


def test_the_root_is_kept_unasked() -> None:
    assert words(tree_of([(4, -1), (1, 0)]).select([])) == [(4,)]


def test_a_node_may_not_outlive_its_parent() -> None:
    with pytest.raises(TreeError, match=r"every kept node to be kept, got orphans \[2\]"):
        tree_of([(0, -1), (1, 0), (2, 1)]).select([0, 2])


@pytest.mark.parametrize("node", [-1, 3])
def test_a_node_that_is_not_there_cannot_be_kept(node: int) -> None:
    with pytest.raises(TreeError, match=f"expected nodes of the tree's 3, got {node}"):
        tree_of([(0, -1), (1, 0), (2, 1)]).select([0, node])


DICE = Dice(Keyed(), 1, 4)


def drawn_tree(vocab: int = 6, width: int = 3) -> tuple[Tree, Probs]:
    probs = np.random.default_rng(1).dirichlet(np.ones(vocab)).astype(np.float32)
    return Tree.root(0).draw(0, width, probs, DICE), probs


def test_drawn_siblings_differ_and_score_by_their_probability() -> None:
    tree, probs = drawn_tree()

    assert len(set(tree.tokens[1:])) == 3
    np.testing.assert_allclose(tree.scores[1:], np.log(probs[tree.tokens[1:]]), rtol=1e-6)
    assert tree.drawn == {1, 2, 3}


def test_scores_add_up_along_drawn_paths() -> None:
    tree, probs = drawn_tree()
    grown = tree.draw(2, 1, probs, DICE)

    assert grown.scores[4] == pytest.approx(tree.scores[2] + np.log(probs[grown.tokens[4]]))


def test_proposals_are_what_the_earlier_siblings_left() -> None:
    """Of placed nodes and of the root there is none."""
    tree, probs = drawn_tree()
    grown = tree.place([(0, 0, 0.0), (0, 1, 0.0)])
    left = probs.copy()
    for node in range(1, 4):
        np.testing.assert_allclose(grown.proposal(node), left / left.sum(), rtol=1e-6)
        left[tree.tokens[node]] = 0

    assert [grown.proposal(node) for node in (0, 4, 5)] == [None] * 3


def test_what_is_drawn_leaves_out_placed_siblings() -> None:
    probs = np.array([0.25, 0.25, 0.5], np.float32)
    tree = Tree.root(0).place([(2, 0, 0.0)]).draw(0, 2, probs, DICE)

    assert sorted(tree.tokens[2:]) == [0, 1]
    np.testing.assert_allclose(tree.proposal(2), [0.5, 0.5, 0])


def test_no_more_is_drawn_than_has_probability() -> None:
    probs = np.array([0.0, 0.5, 0.0, 0.5], np.float32)
    tree = Tree.root(2).draw(0, 9, probs, DICE)

    assert sorted(tree.tokens[1:]) == [1, 3]
    assert tree.draw(0, 1, probs, DICE) is tree


def test_what_a_node_drew_from_stays_what_it_draws_from() -> None:
    """A second draw with other probabilities takes from what the first left."""
    tree, probs = drawn_tree()
    other = np.zeros(6, np.float32)
    other[tree.tokens[1]] = 1
    more = tree.draw(0, 3, other, DICE)

    assert sorted(more.tokens[1:]) == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(more.probs[0], probs)


def test_dropping_a_node_forgets_how_the_others_were_found() -> None:
    """And keeping all of them forgets nothing."""
    tree, _ = drawn_tree()
    whole, pruned = tree.select([3, 1, 2]), tree.select([1, 2])

    assert whole.drawn == {1, 2, 3}
    assert (pruned.drawn, pruned.probs) == (frozenset(), {})
    assert [pruned.proposal(node) for node in range(3)] == [None] * 3
