"""Every mutant is found, and what is not mutated is not."""

import pytest

from specdec.rules import Rejection, Traversal
from tests.mutants import CATALOGUE, acceptance, drafts, engine, noise, residual, walking
from tests.mutants.mutant import kill


@pytest.mark.parametrize("mutant", CATALOGUE, ids=lambda one: f"{one.number}-{one.name}")
def test_is_found(mutant, record_property):
    dead, how = kill(mutant)
    row = {"#": mutant.number, "mutant": mutant.name, "shipped by": mutant.shipped_by, "killed by": mutant.killed_by}
    record_property("mutants", row | {"total variation": how})

    assert dead, f"{mutant.name} survives: {how}"


def test_rules_in_parts_are_exact_with_no_part_changed():
    for rule in (walking.TopDown(), walking.LeavesFirst()):
        assert walking.distance(rule, walking.TREE, walking.PLACED) == 0
    assert walking.distance(walking.Block(), walking.CHAIN) == 0
    assert drafts.honest() == 0
    assert acceptance.unmutated_kseq() < 1e-12


def test_properties_hold_of_what_ships():
    residual.shipped_survive()
    noise.shipped_survive()
    engine.shipped_survive()


def test_block_verification_is_traversal_of_a_chain():
    assert decided(walking.CHAIN, walking.Block()) == decided(walking.CHAIN, Traversal())


def test_parts_are_the_rule_that_ships():
    assert decided(walking.TREE, walking.TopDown()) == decided(walking.TREE, Rejection())


def decided(shape, rule):
    return [output.probs for _, output in walking.outputs(shape, rule)]
