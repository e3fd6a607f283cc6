"""Rules in floats: whatever finite numbers they meet, no NaN and no token without probability comes out."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from specdec.chance import Dice, Keyed
from specdec.rules import Lenient, Match, Rejection, Traversal, Typical, traversal
from specdec.testing import strategies
from specdec.tree import Tree

RULES = (Match(), Rejection(), Traversal(), Typical(), Lenient())


def grow(q: np.ndarray, shape: list[tuple[int, bool]], dice: Dice) -> Tree:
    tree = Tree.root(torch.tensor([0]))
    for parent, drawn in shape:
        size = tree.tokens.shape[1]
        parent = min(parent, size - 1)
        if drawn:
            widths = torch.zeros_like(tree.tokens)
            widths[0, parent] = 1
            tree = tree.draw(widths, torch.from_numpy(q).expand(1, size, -1).clone(), [dice])
        else:
            tree = tree.place(torch.tensor([[parent % len(q)]]), torch.tensor([[parent]]), torch.zeros(1, 1))
    return tree


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
@settings(max_examples=60)
def test_nothing_impossible_is_said(dtype, data):
    p, q = (data.draw(strategies.float_laws(4, dtype)) for _ in range(2))
    shape = data.draw(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=4))
    dice = Dice(Keyed(), data.draw(st.integers(0, 2**32)), 0)
    with np.errstate(invalid="raise", divide="raise"):
        tree = grow(q, shape, dice)
        tokens = tree.tokens[0].tolist()
        drawn = [token for node, token in enumerate(tokens) if tree.drawn is not None and tree.drawn[0, node]]
        walks = [(rule, rule.walk(tree, 0, lambda node: p.copy(), dice)) for rule in RULES]

    assert all(q[token] > 0 for token in drawn)
    for rule, walk in walks:
        assert p[walk.token] > 0, rule
        assert all(p[tokens[node]] > 0 for node in walk.path), rule


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
