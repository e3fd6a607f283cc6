"""The loop that policies shape and drafters feed."""

import numpy as np
import torch
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float, Int
from torch import Tensor

from specdec import Dice, Frontier, Keyed, Tree, TreePolicy, grow
from specdec.grow import grow_with_log
from specdec.policies import Chain, Dynamic, Static
from specdec.reader import FEW, best
from tests.specdec.policies.test_policies import VOCAB, context, logits_after, score
from tests.specdec.trees import words


class Twice(TreePolicy):
    """Asks the same nodes for more children in a second round."""

    def widths(self, tree: Tree) -> Int[Tensor, "B N"]:
        if tree.tokens.shape[1] == 1:
            return torch.full_like(tree.tokens, 2)
        if tree.tokens.shape[1] == 3:
            return torch.tensor([[2, 1, 0]]).expand(len(tree.tokens), -1)
        return torch.zeros_like(tree.tokens)


def test_each_node_is_scored_at_most_once_and_only_if_it_grows() -> None:
    asked: list[list[int]] = []

    def counted(tree: Tree, frontier: Frontier) -> Float[Tensor, "B M V"]:
        asked.append(frontier.nodes[0].tolist())
        return score(tree, frontier)

    tree = grow(context(2), Twice(), counted)

    assert asked == [[0], [1]]
    assert sorted(parent for parent in tree.parents[0].tolist()) == [-1, 0, 0, 0, 0, 1]


def test_later_children_are_the_next_best() -> None:
    tree = grow(context(1), Twice(), score)
    best = logits_after((0,)).argsort(descending=True)[:4].tolist()

    assert tree.tokens[0, tree.parents[0] == 0].tolist() == best


def test_scores_are_log_probabilities_of_paths() -> None:
    tree = grow(context(2), Static((3, 2)), score)

    for row in range(2):
        for node in range(1, tree.tokens.shape[1]):
            parent = int(tree.parents[row, node])
            path = tuple(tree.tokens[row, [0, *tree.path(row, parent)]].tolist())
            log_q = logits_after(path).log_softmax(-1)[tree.tokens[row, node]]
            torch.testing.assert_close(tree.scores[row, node], tree.scores[row, parent] + log_q)


def test_frontiers_see_their_own_path_in_the_order_of_reading() -> None:
    """`visible` marks, among all places read so far, exactly the node's ancestors and itself."""
    read: list[list[int]] = [[], []]

    def checked(tree: Tree, frontier: Frontier) -> Float[Tensor, "B M V"]:
        assert frontier.start == len(read[0])
        for row, nodes in enumerate(frontier.nodes.tolist()):
            read[row] += nodes
            for index, node in enumerate(nodes):
                if node < 0:
                    continue
                seen = [read[row][place] for place in frontier.visible[row, index].nonzero()[:, 0].tolist()]
                assert seen == [0, *tree.path(row, node)]
                assert int(frontier.tokens[row, index]) == int(tree.tokens[row, node])
                assert int(frontier.depths[row, index]) == int(tree.depths[row, node])
        return score(tree, frontier)

    tree = grow(context(2), Dynamic(depth=4, width=2, size=20), checked)

    assert int(tree.depths.max()) == 4


def test_children_are_ranked_with_the_noise_of_the_target() -> None:
    """What the target is about to draw, if its law is the drafter's, is the first child."""
    warm = context(3, temperature=0.8)
    tree = grow(warm, Chain(3), score)

    for row, sampling in enumerate(warm.sampling):
        dice = Dice(Keyed(), sampling.seed, 1)
        path: tuple[int, ...] = (row,)
        for depth in range(3):
            law = (logits_after(path) / 0.8).softmax(-1).numpy()
            path = (*path, dice.target(law, depth))
        assert words(tree, row)[-1] == path


def test_the_log_holds_what_was_grown_and_not_kept() -> None:
    whole, kept = grow_with_log(context(1), Dynamic(depth=2, width=3, size=4), score)

    assert int(whole.nodes.sum()) == 1 + 3 + 9
    assert int(kept.nodes.sum()) == 1 + 4
    assert set(words(kept, 0)) <= set(words(whole, 0))


def test_a_vocabulary_that_is_used_up_ends_the_growth() -> None:
    class Greedy(TreePolicy):
        def widths(self, tree: Tree) -> Int[Tensor, "B N"]:
            return (tree.depths == 0).long() * 5

    tree = grow(context(1), Greedy(), score)

    assert sorted(tree.tokens[0, 1:].tolist()) == list(range(VOCAB))


def test_what_is_not_to_be_drafted_is_not() -> None:
    """Minus infinity, at any temperature, drawn or placed; a row with nothing else has its root alone."""

    def even(tree: Tree, frontier: Frontier) -> Float[Tensor, "B M V"]:
        logits = torch.zeros(*frontier.nodes.shape, VOCAB)
        logits[..., 1::2] = -torch.inf
        logits[0] = -torch.inf
        return logits

    for temperature in (0.0, 1.0):
        for policy in (Static((3, 3)), Static((3, 3), sampled=True)):
            tree = grow(context(3, temperature=temperature), policy, even)

            assert words(tree, 0) == [(0,)]
            assert int(tree.nodes.sum(1)[1]) > 3
            assert (tree.tokens[:, 1:][tree.nodes[:, 1:]] % 2 == 0).all()


def test_the_drafters_logits_are_left_alone() -> None:
    kept = torch.randn(1, 1, VOCAB)
    before = kept.clone()
    grow(evolve(context(1, temperature=1.0)), Chain(1), lambda tree, frontier: kept)

    assert torch.equal(kept, before)
    assert np.isfinite(kept.numpy()).all()


@given(st.data())
def test_the_best_are_found_one_by_one_as_by_sorting(data: st.DataObject) -> None:
    """Few or many, with and without ties, where the first comes first, and with less to find than was asked for."""
    count, size = data.draw(st.integers(1, FEW + 3)), data.draw(st.integers(1, 2 * FEW))
    numbers = st.sampled_from([-np.inf, -2.5, -1.0, -0.25]) if count <= FEW else st.floats(-100, 0, width=32)
    rows = st.lists(numbers, min_size=size, max_size=size, unique=count > FEW)
    log_q = np.array(data.draw(st.lists(rows, min_size=1, max_size=3)), np.float32)
    widths = [data.draw(st.integers(0, count)) for _ in log_q]
    widths[0] = count
    scores = [data.draw(st.floats(-50, 0, width=32)) for _ in log_q]
    (found,) = best(torch.tensor(log_q)[None], [scores], [widths])

    for row, above, width, pairs in zip(log_q, scores, widths, found, strict=True):
        expected = [token for token in np.argsort(-row, kind="stable")[:width] if row[token] > -np.inf]
        assert pairs == [(token, row[token] + np.float32(above)) for token in expected]
