"""The shipped protocol survives the simulator, and the simulator finds what is wrong with others."""

import json
import re

import pytest
from typer import Typer
from typer.testing import CliRunner

from specdec.drafters import Ngram
from specdec.errors import OptionError
from specdec.interfaces import Drafter
from specdec.remote import Failover
from specdec.testing import check_split
from specdec.testing.simulate import main
from specdec.testing.simulator import MECHANISMS, simulate, without

SEEDS = range(120)
"""Seeds among which each missing mechanism shows."""


def test_nothing_is_found() -> None:
    check_split(seeds=75)


@pytest.mark.parametrize("seed", [9945, 17915, 200203])
def test_what_was_found_once_stays_mended(seed: int) -> None:
    assert simulate(seed).violation is None


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_each_mechanism_is_missed(mechanism: str) -> None:
    with without(mechanism):
        broken = next((seed for seed in SEEDS if simulate(seed).violation is not None), None)

    assert broken is not None
    assert simulate(broken).violation is None


def test_the_same_seed_gives_the_same_trace() -> None:
    first, second = list[str](), list[str]()

    assert [simulate(7, trace=trace.append).digest for trace in (first, second)] == [simulate(7).digest] * 2
    assert first == second
    assert simulate(8).digest != simulate(7).digest


def test_other_drafters_and_verifiers_are_checked_too() -> None:
    check_split(Ngram, Failover, seeds=5)


def test_a_drafter_that_changes_a_text_is_found() -> None:
    with pytest.raises(AssertionError, match=r"expected no error, got .*; seed 0"):
        check_split(Careless, seeds=1)


class Careless(Drafter):
    def propose(self, context, policy):
        return [None] * len(context.tokens)


def test_the_command_names_the_seed() -> None:
    app = Typer()
    app.command()(main)
    run = CliRunner().invoke

    fine = run(app, ["--seeds", "2", "--json"])
    broken = run(app, ["--seeds", "60", "--without", "base-hash"])

    assert fine.exit_code == 0
    assert json.loads(fine.stdout)["seeds"] == 2
    assert broken.exit_code == 1
    (again,) = re.findall(r"-m specdec.testing.simulate (--seeds 1 --first \d+ --without base-hash)", broken.stdout)
    assert run(app, again.split()).exit_code == 1


def test_an_unknown_mechanism_is_refused() -> None:
    with pytest.raises(OptionError, match=r"expected a mechanism of in-flight, .*, got 'hash'"), without("hash"):
        pass
