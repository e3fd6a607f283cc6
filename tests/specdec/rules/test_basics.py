"""What rules do in cases that one can work out by hand; `tests/testing` proves their laws."""

from typing import Any

import numpy as np
import pytest

from specdec import Decoder, Dice, Keyed, Sampling, Stop, Target, TargetProbs, Tree
from specdec.drafters import Ngram
from specdec.policies import Chain, Static
from specdec.rules import Match, Rejection, Traversal
from tests.specdec.trees import tree_of
from tests.toys import RAGGED, tiny

EXACT = [Match, Rejection, Traversal]
NODES = [(0, -1), (1, 0), (2, 0), (2, 0), (3, 1), (3, 2), (4, 5)]
"""The root 0 has children 1, 2 and 2 again; 3 follows 1, 3 4 follow the first 2."""


def certain(*tokens: int) -> TargetProbs:
    """A target that says these tokens in turn, at depth 0, 1, ..., whatever came before."""
    depths = tree_of(NODES).depths
    return lambda node: np.eye(6, dtype=np.float32)[tokens[depths[node]]]


@pytest.mark.parametrize("rule", EXACT)
@pytest.mark.parametrize(
    ("tokens", "path", "bonus"),
    [
        ((5, 0, 0, 0), [], 5),
        ((1, 5, 0, 0), [1], 5),
        ((1, 3, 2, 0), [1, 4], 2),
        ((2, 3, 4, 1), [2, 5, 6], 1),
        ((2, 3, 1, 0), [2, 5], 1),
        ((2, 0, 0, 0), [2], 0),
        ((0, 1, 1, 1), [], 0),
    ],
)
def test_the_path_of_a_certain_target_is_followed(rule: Any, tokens: Any, path: list[int], bonus: int) -> None:
    """To its end in the tree, and one token more; the earlier of two twins is taken."""
    walk = rule().walk(tree_of(NODES), certain(*tokens), Dice(Keyed(), 1, 5))

    assert walk.path == path
    assert walk.bonus == bonus


@pytest.mark.parametrize("rule", EXACT)
def test_a_root_alone_gives_one_token_of_the_targets(rule: Any) -> None:
    probs = np.array([0.0, 0.25, 0.75], dtype=np.float32)
    tokens = {rule().walk(Tree.root(0), lambda _: probs.copy(), Dice(Keyed(), seed, 0)).bonus for seed in range(30)}

    assert tokens == {1, 2}


def test_match_says_what_it_says_without_a_tree() -> None:
    """Whatever the tree holds."""
    probs = np.full(6, 1 / 6, dtype=np.float32)
    bare, tree = Tree.root(0), tree_of(NODES)
    for seed in range(40):
        dice = Dice(Keyed(), seed, 3)
        walk = Match().walk(tree, lambda _: probs, dice)
        said = [*(tree.tokens[node] for node in walk.path), walk.bonus]

        assert said[0] == Match().walk(bare, lambda _: probs, dice).bonus
        assert said == [dice.target(probs, depth) for depth in range(len(said))]


@pytest.mark.parametrize("rule", [Rejection, Traversal])
def test_what_is_drawn_from_the_targets_own_law_is_accepted(rule: Any) -> None:
    """A drawn child with q = p is never rejected."""
    probs = np.array([0.1, 0.2, 0.3, 0.4], dtype=np.float32)
    for seed in range(30):
        dice = Dice(Keyed(), seed, 3)
        tree = Tree.root(0).draw(0, 1, probs, dice)

        assert rule().walk(tree, lambda _: probs.copy(), dice).path == [1]


@pytest.mark.parametrize("rule", EXACT)
@pytest.mark.parametrize("policy", [Chain(3, sampled=True), Static((2, 2), sampled=True), Static((2, 2))])
def test_a_drafter_may_know_fewer_tokens_than_the_target(rule: Any, policy: Any) -> None:
    """N-grams know no token beyond the largest of the prompt; some sequences have nothing to draft at all."""
    decoder = Decoder(Ngram(), Target(tiny(), rule=rule()), policy)
    said = decoder.generate([[5, 3, 5, 3, 5], [2], [0, 0, 0]] * 3, Sampling(1.0, seed=3), Stop(4, tokens=()))

    assert [len(row) for row in said.tokens] == [4] * 9


@pytest.mark.parametrize("rule", EXACT)
def test_greedy_text_is_the_same_under_every_exact_rule(rule: Any) -> None:
    texts = [
        Decoder(Ngram(), Target(tiny(), rule=rule_of()), Static((2, 2))).generate(
            RAGGED, Sampling(), Stop(10, tokens=())
        )
        for rule_of in (Match, rule)
    ]

    assert texts[0].tokens == texts[1].tokens
