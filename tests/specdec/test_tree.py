"""Trees against the obvious way to all that is asked of them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from specdec import PADDING, Dice, Keyed, Tree
from specdec.errors import TreeError
from tests.specdec.trees import Row, batches, lineage, tree_of, words


@given(batches())
def test_ancestors_and_depths_are_those_of_walking_up(batch: list[Row]) -> None:
    tree = tree_of(batch)

    for row, nodes in enumerate(batch):
        for node in range(tree.tokens.shape[1]):
            up = lineage(nodes, node) if node < len(nodes) else [node]
            assert tree.ancestors[row, node].nonzero()[:, 0].tolist() == sorted(up)
            assert int(tree.depths[row, node]) == len(up) - 1


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 9, 10, 17, 18, 33])
def test_chains_of_any_length_are_seen_to_the_root(size: int) -> None:
    """The doubling reaches all the way, and no further."""
    tree = tree_of([[(0, node - 1) for node in range(size)]])

    assert torch.equal(tree.ancestors[0], torch.ones(size, size).tril().bool())


@given(batches())
def test_children_paths_and_the_deepest(batch: list[Row]) -> None:
    tree = tree_of(batch)
    deepest = max((len(lineage(nodes, n)) for nodes in batch for n in range(len(nodes))), default=1) - 1

    for row, nodes in enumerate(batch):
        for node in range(len(nodes)):
            assert tree.children(row)[node] == [n for n in range(len(nodes)) if nodes[n][1] == node]
            assert tree.path(row, node) == lineage(nodes, node)[::-1][1:]
            assert bool(tree.deepest[row, node]) == (len(lineage(nodes, node)) - 1 == deepest)
        assert not tree.deepest[row, len(nodes) :].any()


@given(batches(), st.data())
def test_placing_adds_exactly_the_nodes_given(batch: list[Row], data: st.DataObject) -> None:
    """In their order, whatever padding stands between them, and nothing else changes."""
    tree = tree_of(batch)
    added: list[Row] = []
    for nodes in batch:
        possible = st.tuples(st.integers(0, 4), st.sampled_from(range(len(nodes)))) if nodes else st.nothing()
        padded = st.just((PADDING, 0)) | possible
        added.append(data.draw(st.lists(padded, min_size=4, max_size=4)))
    tokens = torch.tensor([[token for token, _ in nodes] for nodes in added])
    parents = torch.tensor([[parent for _, parent in nodes] for nodes in added])
    grown = tree.place(tokens, parents, torch.full(tokens.shape, -3.0))
    before = tree.tokens.shape[1]

    assert torch.equal(grown.tokens[:, :before], tree.tokens)
    assert torch.equal(grown.parents[:, :before], tree.parents)
    for row, nodes in enumerate(added):
        real = [node for node in nodes if node[0] >= 0]
        have = list(zip(grown.tokens[row, before:].tolist(), grown.parents[row, before:].tolist(), strict=True))
        assert have == real + [(PADDING, PADDING)] * (len(have) - len(real))
        assert grown.scores[row, before:].tolist() == [-3.0] * len(real) + [0.0] * (len(have) - len(real))
    assert grown.tokens.shape[1] - before == max(sum(token >= 0 for token, _ in nodes) for nodes in added)
    assert torch.equal(grown.depths, Tree(grown.tokens, grown.parents, grown.scores).depths)


@pytest.mark.parametrize("parent", [1, 5, -1])
def test_a_node_without_a_parent_is_refused(parent: int) -> None:
    tree = Tree.root(torch.tensor([3, PADDING]))

    with pytest.raises(TreeError, match="expected"):
        tree.place(torch.tensor([[1], [PADDING]]), torch.tensor([[parent], [0]]), torch.zeros(2, 1))
    with pytest.raises(TreeError, match=r"none at \[\[1, 0\]\]"):
        tree.place(torch.tensor([[PADDING], [1]]), torch.tensor([[0], [0]]), torch.zeros(2, 1))


@given(batches(), st.randoms(use_true_random=False))
def test_selecting_keeps_the_words_of_what_is_kept(batch: list[Row], random: object) -> None:
    """Numbers change, words do not; nothing is invented."""
    tree = tree_of(batch)
    keep = torch.zeros(tree.tokens.shape, dtype=torch.bool)
    for row, nodes in enumerate(batch):
        for node in range(len(nodes)):
            above = nodes[node][1]
            keep[row, node] = above < 0 or (keep[row, above] and random.random() < 0.7)  # type: ignore[attr-defined]
    kept = tree.select(keep)

    for row, nodes in enumerate(batch):
        wanted = [node for node in range(len(nodes)) if keep[row, node]]
        expected = [tuple(nodes[step][0] for step in lineage(nodes, node)[::-1]) for node in wanted]
        assert words(kept, row) == sorted(expected)
        assert sorted(kept.scores[row, kept.nodes[row]].tolist()) == sorted(tree.scores[row, wanted].tolist())
    assert torch.equal(kept.depths, Tree(kept.tokens, kept.parents, kept.scores).depths)


def test_a_node_may_not_outlive_its_parent() -> None:
    tree = tree_of([[(0, -1), (1, 0), (2, 1)]])

    with pytest.raises(TreeError, match=r"orphans at \[\[0, 2\]\]"):
        tree.select(torch.tensor([[True, False, True]]))


def drawn_tree(rows: int = 2, vocab: int = 6, width: int = 3) -> tuple[Tree, torch.Tensor]:
    probs = torch.rand(rows, 1, vocab, generator=torch.Generator().manual_seed(1)).softmax(-1)
    dice = [Dice(Keyed(), seed, 4) for seed in range(rows)]
    return Tree.root(torch.zeros(rows, dtype=torch.int64)).draw(torch.full((rows, 1), width), probs, dice), probs


def test_drawn_siblings_differ_and_score_by_their_probability() -> None:
    tree, probs = drawn_tree()

    for row in range(2):
        tokens = tree.tokens[row, 1:].tolist()
        assert len(set(tokens)) == 3
        torch.testing.assert_close(tree.scores[row, 1:], probs[row, 0, tokens].log())
    assert tree.drawn is not None
    assert tree.drawn.tolist() == [[False, True, True, True]] * 2


def test_proposals_are_what_the_earlier_siblings_left() -> None:
    tree, probs = drawn_tree()

    for row in range(2):
        left = probs[row, 0].numpy().copy()
        assert tree.proposal(row, 0) is None
        for node in range(1, 4):
            q = tree.proposal(row, node)
            assert q is not None
            np.testing.assert_allclose(q, left / left.sum(), rtol=1e-6)
            left[int(tree.tokens[row, node])] = 0


def test_no_more_is_drawn_than_has_probability() -> None:
    probs = torch.tensor([[[0.0, 0.5, 0.0, 0.5]]])
    tree = Tree.root(torch.tensor([2])).draw(torch.tensor([[9]]), probs, [Dice(Keyed(), 0, 0)])

    assert sorted(tree.tokens[0, 1:].tolist()) == [1, 3]


def test_what_a_node_drew_from_stays_its_law() -> None:
    """A second draw with other probabilities takes from what the first left."""
    tree, probs = drawn_tree(rows=1)
    other = torch.zeros(1, 4, 6)
    other[:, 0, int(tree.tokens[0, 1])] = 1
    dice = [Dice(Keyed(), 0, 4)]
    more = tree.draw(torch.tensor([[3, 0, 0, 0]]), other, dice)

    assert sorted(more.tokens[0, 1:].tolist()) == [0, 1, 2, 3, 4, 5]
    assert more.probs is not None
    assert torch.equal(more.probs[0, 0], probs[0, 0])


def test_dropping_a_node_forgets_how_the_others_were_found() -> None:
    """And keeping all of them forgets nothing."""
    tree, _ = drawn_tree()
    keep = tree.nodes.clone()
    whole = tree.select(keep)
    keep[0, 3] = False
    pruned = tree.select(keep)

    assert whole.drawn is not None
    assert pruned.drawn is None
    assert pruned.probs is None
    assert all(pruned.proposal(row, node) is None for row in range(2) for node in range(3))


@given(batches(), st.data())
def test_rows_are_taken_in_the_order_asked_for(batch: list[Row], data: st.DataObject) -> None:
    tree = tree_of(batch)
    chosen = data.draw(st.lists(st.sampled_from(range(len(batch))), min_size=1, unique=True))
    part = tree.rows(chosen)

    assert [words(part, place) for place in range(len(chosen))] == [words(tree, row) for row in chosen]
