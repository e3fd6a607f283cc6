"""Rules in floats: whatever finite numbers they meet, no NaN and no token without probability comes out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specdec.chance import Dice, Keyed
from specdec.rules import Lenient, Match, Rejection, Traversal, Typical, traversal
from specdec.testing import strategies
from specdec.tree import Tree

RULES = (Match(), Rejection(), Traversal(), Typical(), Lenient())


def grow(q: np.ndarray, shape: list[tuple[int, bool]], dice: Dice) -> Tree:
    tree = Tree.root(0)
    for parent, drawn in shape:
        parent = min(parent, len(tree) - 1)
        tree = tree.draw(parent, 1, q, dice) if drawn else tree.place([(parent % len(q), parent, 0.0)])
    return tree


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
@settings(max_examples=60)
def test_nothing_impossible_is_decided(dtype, data):
    p, q = (data.draw(strategies.float_probs(4, dtype)) for _ in range(2))
    shape = data.draw(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=4))
    dice = Dice(Keyed(), data.draw(st.integers(0, 2**32)), 0)
    with np.errstate(invalid="raise", divide="raise"):
        tree = grow(q, shape, dice)
        walks = [(rule, rule.walk(tree, lambda node: p.copy(), dice)) for rule in RULES]

    assert all(q[tree.tokens[node]] > 0 for node in tree.drawn)
    for rule, walk in walks:
        assert p[walk.bonus] > 0, rule
        assert all(p[tree.tokens[node]] > 0 for node in walk.path), rule


@pytest.mark.parametrize("mass", [7e-8, 1.5e-7, 1e-30])
def test_a_weight_of_one_stays_one(mass):
    """In the other order of the sum, single precision makes .587 of it."""
    w, p = traversal._rest(1, np.ones(1, dtype=np.float32), np.array([mass], dtype=np.float32))

    assert w == 1
    assert p[0] == 1


def test_single_precision_rows_keep_double_precision_weights():
    p = np.array([0.3, 0.7], dtype=np.float32)
    w, _ = traversal._rest(0.123456789, p, np.array([1e-3, 2e-3], dtype=np.float32))

    assert isinstance(w, float)
    assert w == pytest.approx(3e-3 / (3e-3 + (1 - 0.123456789)), rel=1e-7)
