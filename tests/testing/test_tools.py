"""The tools of proof themselves."""

import json
from fractions import Fraction
from unittest.mock import patch

import numpy as np
import pytest
import typer

from specdec import Decoder, Key, Purpose, Sampling, Stop, Target, hookimpl
from specdec.cli.audit import audit, verdicts
from specdec.drafters import SmallModel
from specdec.plugins import Plugins
from specdec.policies import Chain, Dynamic, Hybrid, Static
from specdec.rules import Match, Rejection, Traversal, Typical
from specdec.testing import Exhaustive, KeyAudit, enumerate_outcomes, toy_model
from specdec.testing.exhaustive import KeyReused
from specdec.testing.instances import Instance
from specdec.testing.optimum import optimum
from specdec.testing.output import Output, all_trees, output
from specdec.testing.shapes import Shape, all_shapes, ordered_trees

KEY = Key(0, 0, Purpose.DRAFT, 1)
HALVES = np.array([Fraction(1, 2), Fraction(1, 2), Fraction(0)], dtype=object)


def test_every_outcome_is_walked_once():
    def two(chance):
        return chance.pick(HALVES, KEY), chance.coin(Fraction(1, 3), 1, KEY._replace(node=2))

    third = Fraction(1, 3)
    assert sorted(enumerate_outcomes(two)) == sorted(
        (share / 2, (token, came)) for token in (0, 1) for came, share in ((True, third), (False, 1 - third))
    )


def test_several_draws_are_without_replacement():
    weights = np.array([Fraction(1), Fraction(2), Fraction(3)], dtype=object)
    pairs = {tuple(drawn): weight for weight, drawn in enumerate_outcomes(lambda chance: chance.draw(weights, 2, KEY))}

    assert pairs[2, 1] == Fraction(3, 6) * Fraction(2, 3)
    assert sum(pairs.values()) == 1
    assert len(pairs) == 6


def test_a_key_used_twice_is_one_chance():
    assert len(list(enumerate_outcomes(lambda chance: (chance.pick(HALVES, KEY), chance.pick(HALVES, KEY))))) == 2

    chance = Exhaustive()
    chance.pick(HALVES, KEY)
    with pytest.raises(KeyReused):
        chance.coin(Fraction(1, 3), 1, KEY)


def test_shapes_are_counted_by_catalan():
    assert [len(ordered_trees(nodes)) for nodes in range(6)] == [1, 1, 2, 5, 14, 42]
    assert sum(1 for _ in all_shapes(4)) == 275


def test_distance_and_criterion_agree():
    """Both are 0 of the target itself, and the distance is known of a step that always decides one token."""
    instance = Instance(2, lambda path: (1, 3), lambda path: (1, 1), lambda *_: 0)

    assert Output({(0,): Fraction(1, 4), (1,): Fraction(3, 4)}).error(instance.p) == 0
    assert Output({(0,): Fraction(1)}).distance(instance.p) == Fraction(3, 4)
    assert Output({(0,): Fraction(1)}).error(instance.p) == Fraction(3, 4)


def test_a_known_optimum():
    """The example of two tokens on a chain of two: 10/9 accepted by tokens, 11/9 by blocks, which is optimal."""
    instance = Instance(2, lambda path: (1, 2), lambda path: (2, 1), lambda *_: 0)
    trees = all_trees(instance, lambda of, dice: of.grow(Shape((0, 1), (True, True)), dice))

    assert output(Rejection(), instance, trees).expected_tokens == 1 + Fraction(10, 9)
    assert output(Traversal(), instance, trees).expected_tokens == 1 + Fraction(11, 9)
    assert optimum(instance, trees) == pytest.approx(1 + 11 / 9, abs=1e-9)


@pytest.mark.parametrize("rule", [Match(), Rejection(), Traversal()], ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize(
    "policy", [Chain(3, sampled=True), Static((2, 2), sampled=True), Hybrid((3, 2)), Dynamic(3, 3, 6)]
)
def test_no_key_serves_twice(rule, policy):
    audit, model = KeyAudit(), toy_model()
    decoder = Decoder(SmallModel(toy_model(noise=0.02)), Target(model, rule=rule, chance=audit), policy, chance=audit)
    for _ in decoder.stream([[1, 2, 3], [4]], Sampling(temperature=1.0), Stop(20, tokens=())):
        audit.next_step()

    assert len(audit.used) + len(audit.shared) > 20


def test_hybrid_is_optimal_at_a_node():
    """One drawn child tested before the likeliest ones reaches the optimum of its trees, in one level."""
    from specdec.testing.drafting import draft

    for seed in range(4):
        instance = Instance.random(5, seed, exact=False)
        trees = list(enumerate_outcomes(lambda chance, of=instance: draft(of, Hybrid((3,)), chance, {0: 1})[0]))
        decided = output(Rejection(), instance, trees)
        assert decided.error(instance.p) < 1e-12
        assert decided.expected_tokens == pytest.approx(optimum(instance, trees), abs=1e-9)


def test_audit_tells_exact_from_lossy():
    pairs = verdicts(["match", "typical"], ["chain", "hybrid"])
    verdict_of = {(rule, policy): verdict for rule, policy, verdict in pairs}

    assert verdict_of["match", "chain"].exact
    assert verdict_of["match", "chain"].expected_tokens == pytest.approx(verdict_of["match", "chain"].optimum)
    assert not verdict_of["typical", "hybrid"].exact
    assert not verdict_of["typical", "hybrid"].declared_exact
    assert verdict_of["typical", "hybrid"].worst_distance > 0.1


def test_audit_on_the_command_line(capsys):
    """Machines get a list of objects; a rule that overstates itself fails the command."""
    audit("match", "static:levels=2", as_json=True)
    (row,) = json.loads(capsys.readouterr().out)
    assert row["exact"]
    assert set(row) == {
        "rule",
        "policy",
        "declared_exact",
        "exact",
        "worst_distance",
        "expected_tokens",
        "optimum",
        "instances",
    }

    class Boasting:
        @hookimpl
        def register_rules(self, register):
            register("boasting", type("Boasting", (Typical,), {"exact": True}))

    registry = Plugins(group="none")
    registry.add(Boasting(), "boasting")
    with patch("specdec.plugins.plugins", lambda: registry), pytest.raises(typer.Exit):
        audit("boasting", "chain")
    assert "NOT EXACT" in capsys.readouterr().out
