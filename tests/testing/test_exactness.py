"""The rules that ship have exactly the target's probabilities, on every small tree and many larger ones."""

from functools import cache

import pytest
from hypothesis import given, settings

from specdec.rules import Match, Rejection, Traversal
from specdec.testing import strategies
from specdec.testing.growth import Growth
from specdec.testing.instances import Instance
from specdec.testing.optimum import optimum
from specdec.testing.output import Forest, all_trees, output
from specdec.testing.shapes import Shape, all_shapes
from specdec.tree import Tree

RULES = (Match(), Rejection(), Traversal())


@cache
def small(vocab: int, nodes: int, duplicates: bool) -> list[tuple[Shape, Instance, Forest]]:
    """Every tree of so many nodes, with probabilities of its own."""
    cases = []
    for seed, shape in enumerate(all_shapes(nodes, smallest=nodes)):
        instance = Instance.random(vocab, seed, duplicates=duplicates)
        cases.append((shape, instance, all_trees(instance, lambda of, dice, shape=shape: of.grow(shape, dice))))
    return cases


@pytest.mark.parametrize("nodes", range(5))
@pytest.mark.parametrize("vocab", [1, 2, 3])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_every_small_tree_in_fractions(rule, vocab, nodes):
    """No tolerance: the criterion is met by rational numbers."""
    for shape, instance, trees in small(vocab, nodes, duplicates=False):
        assert output(rule, instance, trees).error(instance.p) == 0, (shape, instance)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_placed_nodes_may_repeat_a_sibling(rule):
    for nodes in (2, 3):
        for shape, instance, trees in small(2, nodes, duplicates=True):
            assert output(rule, instance, trees).error(instance.p) == 0, (shape, instance)


@given(strategies.instances(3), strategies.shapes(5))
@settings(max_examples=60)
def test_larger_trees_in_fractions(instance, shape):
    trees = all_trees(instance, lambda of, dice: of.grow(shape, dice))
    for rule in RULES:
        assert output(rule, instance, trees).error(instance.p) == 0, rule


@given(strategies.instances(3), strategies.growths(5))
@settings(max_examples=60)
def test_growth_may_depend_on_everything_drawn_so_far(instance, growth: Growth):
    trees = all_trees(instance, growth)
    for rule in RULES:
        assert output(rule, instance, trees).error(instance.p) == 0, rule


@given(strategies.instances(4, exact=False), strategies.growths(4))
@settings(max_examples=40)
def test_in_double_precision(instance, growth: Growth):
    trees = all_trees(instance, growth)
    for rule in RULES:
        assert output(rule, instance, trees).error(instance.p) < 1e-12, rule


@pytest.mark.parametrize("width", [2, 3])
def test_siblings_drawn_at_once(width):
    instance = Instance.random(3, seed=width)
    trees = all_trees(instance, lambda of, dice: of.draw(of.draw(Tree.root(0), 0, dice, width), 1, dice, 2))
    for rule in RULES:
        assert output(rule, instance, trees).error(instance.p) == 0, rule


def test_what_is_expected_against_the_optimum():
    """No rule beats the linear programme, and each reaches it where theory says so."""
    for nodes in range(4):
        for shape, instance, trees in small(3, nodes, duplicates=False):
            best = optimum(instance, trees)
            match, rejection, traversal = (output(rule, instance, trees).expected_tokens for rule in RULES)
            assert max(match, rejection, traversal) <= best + 1e-9, shape
            assert traversal >= rejection, shape
            if shape.is_placed:
                assert match == traversal == rejection == pytest.approx(best, abs=1e-9), shape
            if shape.is_chain:
                assert float(traversal) == pytest.approx(best, abs=1e-9), shape


def test_a_draft_of_the_target_itself_is_accepted():
    """On a chain, and by whoever tests a drawn node against what it was drawn from."""
    source = Instance.random(3, seed=5)
    instance = Instance(3, source.target, source.target, source.placed)
    trees = all_trees(instance, lambda of, dice: of.grow(Shape((0, 1, 2), (True, True, True)), dice))

    assert output(Rejection(), instance, trees).expected_tokens == 4
    assert output(Traversal(), instance, trees).expected_tokens == 4


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_greedy_is_the_limit_of_low_temperature(rule):
    """The colder, the nearer to certainty."""
    source, shape = Instance.random(3, seed=8), Shape((0, 0, 1), (True, False, True))

    def row(path):
        return [3 * count + token + 1 for token, count in enumerate(source.target(path))]  # no ties

    def at(power: int) -> Instance:
        return Instance(3, lambda path: tuple(x**power for x in row(path)), source.draft, source.placed)

    sure = at(4000)
    cold = [at(power) for power in (1, 8, 64, 256)]
    trees = all_trees(source, lambda of, dice: of.grow(shape, dice))
    far = [float(output(rule, of, trees).distance(sure.p)) for of in cold]

    assert far == sorted(far, reverse=True)
    assert far[-1] < 1e-6
