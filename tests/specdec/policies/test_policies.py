"""Each policy against the obvious way to its shape."""

from functools import cache
from itertools import pairwise, product
from math import exp
from typing import Any

import pytest
import torch
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor

from specdec import Context, Frontier, Sampling, Tree, TreePolicy, grow
from specdec.errors import OptionError
from specdec.policies import Adaptive, Chain, Dynamic, Hybrid, Sequoia, Static
from specdec.policies.dynamic import likeliest
from specdec.policies.sequoia import TYPICAL_RATES
from tests.specdec.contexts import context_of
from tests.specdec.trees import Node, node_lists, tree_of, whole, words

VOCAB = 7


def context(count: int = 1, room: int = 50, temperature: float = 0.0, done: tuple[int, ...] = ()) -> Context:
    """Sequences that begin with their own number."""
    return context_of([[0, number] for number in range(count)], room, Sampling(temperature, seed=4), done)


@cache
def logits_after(words: tuple[int, ...], sharpness: float = 2.0) -> Tensor:
    """A drafter's logits, a fixed function of the path's words."""
    seed = sum((token + 1) * 31**place for place, token in enumerate(words))
    return sharpness * torch.randn(VOCAB, generator=torch.Generator().manual_seed(seed))


def score(frontier: Frontier) -> Float[Tensor, "R M V"]:
    out = torch.zeros(*frontier.tokens.shape, VOCAB)
    for row, (tree, nodes) in enumerate(zip(frontier.trees, frontier.nodes, strict=True)):
        for place, node in enumerate(nodes):
            out[row, place] = logits_after(tuple(tree.tokens[step] for step in [0, *tree.path(node)]))
    return out


def ranked(path: tuple[int, ...]) -> list[tuple[float, int]]:
    """Children by falling probability."""
    log_q = logits_after(path).log_softmax(-1)
    return [(float(log_q[token]), token) for token in log_q.argsort(descending=True, stable=True).tolist()]


def grown(policy: TreePolicy, count: int = 3, **options: Any) -> list[Tree]:
    return whole(grow(context(count, **options), policy, score))


def test_a_chain_is_the_likeliest_path() -> None:
    for row, tree in enumerate(grown(Chain(4))):
        path: tuple[int, ...] = (row,)
        for _ in range(4):
            path = (*path, ranked(path)[0][1])
        assert words(tree) == [path[:end] for end in range(1, 6)]


@pytest.mark.parametrize("levels", [(3,), (3, 2, 1), (1, 1, 4)])
def test_a_static_tree_has_its_levels(levels: tuple[int, ...]) -> None:
    for row, tree in enumerate(grown(Static(levels))):
        level = expected = [(row,)]
        for width in levels:
            level = [(*path, token) for path in level for _, token in ranked(path)[:width]]
            expected = expected + level
        assert words(tree) == sorted(expected)


@pytest.mark.parametrize(("given_as", "levels"), [("4x2x1", (4, 2, 1)), (3, (3,)), ([2, 2], (2, 2))])
def test_static_levels_may_be_written_in_several_ways(given_as: Any, levels: tuple[int, ...]) -> None:
    assert Static(given_as).levels == levels


def eagle2(row: int, depth: int, width: int, size: int) -> list[tuple[int, ...]]:
    """EAGLE-2's section 4, literally: expand the best of each level, then keep the best of all."""
    level, everything = [(0.0, (row,))], []
    for _ in range(depth):
        best = sorted(level, key=lambda node: -node[0])[:width]
        level = [(above + s, (*path, token)) for above, path in best for s, token in ranked(path)[:width]]
        everything += level
    return sorted([(row,), *(path for _, path in sorted(everything, key=lambda node: -node[0])[:size])])


@pytest.mark.parametrize(("depth", "width", "size"), [(1, 3, 5), (3, 2, 4), (4, 3, 9), (3, 4, 60), (5, 1, 2)])
def test_a_dynamic_tree_is_eagle_2s(depth: int, width: int, size: int) -> None:
    for row, tree in enumerate(grown(Dynamic(depth=depth, width=width, size=size))):
        assert words(tree) == eagle2(row, depth, width, size)


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("sharpness", [0.5, 3])
def test_sharpness_is_that_of_all_that_decides_the_choice(temperature: float, sharpness: float) -> None:
    """Scores are those of logits and noise times the sharpness, and siblings stand as they did."""
    batch, policy = context(2, temperature=temperature), Dynamic(depth=3, width=3, size=VOCAB, sharpness=sharpness)
    for dice, tree in zip(batch.dice, whole(grow(batch, policy, score)), strict=True):
        noise = [temperature * torch.tensor(dice.noise(depth, VOCAB)) for depth in range(3)]
        for node in range(len(tree)):
            path = tuple(tree.tokens[step] for step in [0, *tree.path(node)])
            above = [logits_after(path[: depth + 1]) + noise[depth] for depth in range(len(path) - 1)]
            log_q = [(sharpness * logits).log_softmax(-1) for logits in above]
            gains = [float(row[token]) for row, token in zip(log_q, path[1:], strict=True)]
            assert tree.scores[node] == pytest.approx(sum(gains), abs=1e-4)
            better = [token for token in range(VOCAB) if above and above[-1][token] > above[-1][path[-1]]]
            assert {(*path[:-1], token) for token in better} <= set(words(tree))


@given(node_lists(), st.integers(1, 7), st.data())
def test_the_likeliest_are_the_best_and_ties_go_to_the_earlier(
    nodes: list[Node], count: int, data: st.DataObject
) -> None:
    """Scores are minus depths, so many tie."""
    tree = tree_of(nodes)
    among = [node for node in range(len(nodes)) if data.draw(st.booleans())]
    order = sorted(among, key=lambda node: (-tree.scores[node], node))

    assert sorted(likeliest(tree.scores, among, count)) == sorted(order[:count])


def test_ties_in_a_dynamic_tree_go_to_the_shallower_node_so_parents_stay() -> None:
    """A certain child ties with its parent."""

    def certain(frontier: Frontier) -> Float[Tensor, "R M V"]:
        logits = torch.full((*frontier.tokens.shape, VOCAB), -torch.inf)
        logits[..., 3] = 0.0
        return logits

    (tree,) = grow(context(), Dynamic(depth=4, width=2, size=2), certain)

    assert words(tree) == [(0,), (0, 3), (0, 3, 3)]


def shapes(size: int, depth: int, width: int) -> list[tuple[Any, ...]]:
    """All trees of at most `size` nodes below the root, as tuples of children."""
    if size <= 0 or depth == 0:
        return [()]
    found = []
    for count in range(width + 1):
        for parts in product(range(size), repeat=count):
            if sum(parts) + count <= size:
                found += list(product(*(shapes_of(part, depth - 1, width) for part in parts)))
    return found


@cache
def shapes_of(size: int, depth: int, width: int) -> tuple[tuple[Any, ...], ...]:
    """All trees of exactly `size` nodes below the root."""
    return tuple(shape for shape in shapes(size, depth, width) if nodes_in(shape) == size)


def nodes_in(shape: tuple[Any, ...]) -> int:
    return sum(1 + nodes_in(child) for child in shape)


def worth(shape: tuple[Any, ...], rates: tuple[float, ...]) -> float:
    """Tokens expected: one, and those of each child if it is the one accepted."""
    return 1 + sum(rate * worth(child, rates) for rate, child in zip(rates, shape, strict=False))


def shape_of(parents: tuple[int, ...], node: int = 0) -> tuple[Any, ...]:
    return tuple(shape_of(parents, child) for child, parent in enumerate(parents) if parent == node)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("rates", [(0.5, 0.3, 0.1), (0.9, 0.05), (0.34, 0.33, 0.33), (0.7,)])
def test_the_fitted_tree_is_the_best_of_all_trees(size: int, depth: int, rates: tuple[float, ...]) -> None:
    best = max(worth(shape, rates) for shape in shapes(size, depth, len(rates)))
    fitted = Sequoia.fitted(size, depth, rates)

    assert worth(shape_of(fitted.parents), rates) == pytest.approx(best)
    assert len(fitted.parents) <= size + 1


def test_a_growth_map_is_followed_rank_by_rank() -> None:
    policy = Sequoia((-1, 0, 0, 1, 2, 2, 4))
    for row, tree in enumerate(grown(policy)):
        first, second = (((row, token)) for _, token in ranked((row,))[:2])
        below = [(*second, token) for _, token in ranked(second)[:2]]
        third = (*first, ranked(first)[0][1])
        last = (*below[0], ranked(below[0])[0][1])
        assert words(tree) == sorted([(row,), first, second, third, *below, last])


@pytest.mark.parametrize(
    "sampled", [Chain(3, sampled=True), Static((2, 2), sampled=True), Sequoia.fitted(5, sampled=True)]
)
def test_policies_that_sample_draw_when_warm_and_place_when_greedy(sampled: Any) -> None:
    """With the shape of their greedy selves."""
    for warm, greedy in zip(grown(sampled, temperature=1.0), grown(sampled), strict=True):
        assert warm.drawn == {*range(1, len(warm))}
        assert greedy.drawn == frozenset()
        assert sorted(warm.depths) == sorted(greedy.depths)


def test_greedy_sequences_beside_sampled_ones_are_placed() -> None:
    batch = context_of([[0, 1], [0, 2]])
    warm = Sampling(1.0), Sampling(0.0)
    drawn, placed = whole(grow(evolve(batch, sampling=warm), Static((2, 2), sampled=True), score))

    assert drawn.drawn == {*range(1, 7)}
    assert placed.drawn == frozenset()
    assert words(placed) == words(whole(grow(batch, Static((2, 2)), score))[1])


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_hybrid_draws_one_child_of_each_node_and_then_places_the_likeliest(temperature: float) -> None:
    """The placed ones are left out of what was drawn from."""
    for tree in grown(Hybrid((3, 2)), temperature=temperature):
        assert [len(children) for children in tree.children] == [3, 2, 2, 2, *[0] * 6]
        for children in tree.children[:4]:
            assert [child in tree.drawn for child in children] == [temperature > 0, *[False] * (len(children) - 1)]
            assert len({tree.tokens[child] for child in children}) == len(children)
        for node, probs in tree.probs.items():
            path = tuple(tree.tokens[step] for step in [0, *tree.path(node)])
            placed = [tree.tokens[child] for child in tree.children[node][1:]]
            assert probs[placed].tolist() == [0] * len(placed)
            assert placed == [token for _, token in ranked(path)][: len(placed)]


def expected_tokens(tree: Tree) -> float:
    return sum(map(exp, tree.scores))


def test_an_adaptive_tree_holds_the_likeliest_nodes_and_no_more() -> None:
    for size in (1, 3, 8):
        assert all(len(tree) <= size + 1 for tree in grown(Adaptive(size=size, depth=6, width=3)))


def test_more_room_for_an_adaptive_tree_never_expects_less() -> None:
    """OPT-Tree's monotony, in size and in depth."""
    by_size = [grown(Adaptive(size=size, depth=5, width=3, gain=0.0)) for size in (1, 2, 4, 8, 16)]
    by_depth = [grown(Adaptive(size=12, depth=depth, width=3, gain=0.0)) for depth in (1, 2, 3, 5)]

    for batches in (by_size, by_depth):
        for less, more in pairwise(batches):
            assert all(expected_tokens(b) >= expected_tokens(a) - 1e-6 for a, b in zip(less, more, strict=True))


def test_an_adaptive_tree_stops_when_a_level_adds_too_little() -> None:
    """A drafter that knows nothing makes a shallow tree, one that is sure a deep one."""

    def sure(frontier: Frontier) -> Float[Tensor, "R M V"]:
        return 50.0 * torch.nn.functional.one_hot((frontier.tokens + 1) % VOCAB, VOCAB).float()

    def lost(frontier: Frontier) -> Float[Tensor, "R M V"]:
        return torch.zeros(*frontier.tokens.shape, VOCAB)

    policy = Adaptive(size=12, depth=6, width=2, gain=0.3)

    assert whole(grow(context(), policy, sure))[0].depth == 6
    assert whole(grow(context(), policy, lost))[0].depth <= 1


@pytest.mark.parametrize("policy", [Chain(9), Static((2, 2, 2)), Dynamic(), Sequoia.fitted(), Adaptive()])
def test_sequences_that_are_done_and_rooms_that_are_small_are_respected(policy: TreePolicy) -> None:
    """A sequence's last token is never drafted, but the target's own."""
    first, second, third = grow(context(3, room=2, done=(1,)), policy, score)

    assert second is None
    assert [tree.depth for tree in whole([first, third])] == [2, 2]
    assert len(TYPICAL_RATES) == 8


def test_a_batch_without_room_has_roots_alone() -> None:
    """And a batch that is done has nothing."""
    assert [words(tree) for tree in grow(context(2, room=0), Chain(3), score)] == [[(0,)], [(1,)]]
    assert grow(context(2, done=(0, 1)), Chain(3), score) == [None, None]


def test_rates_are_numbers(pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("jaxtyping_packages"):
        pytest.skip("what has other types is then refused before")
    for rates in (0.5, "0.5x0.2", [None]):
        with pytest.raises(OptionError, match="expected rates as a sequence of numbers, got"):
            Sequoia.fitted(rates=rates)  # type: ignore[arg-type]
