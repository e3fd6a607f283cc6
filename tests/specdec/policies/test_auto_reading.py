"""`auto` reads a prompt for a drafter only where as much is likely to be gained."""

import pytest

from specdec import Drafter
from specdec.drafters import NoDrafter
from specdec.policies import Auto, Chain
from tests.specdec.policies.curves import never, often, packed, seldom
from tests.specdec.policies.machine import Guesser, Machine, Seconds, speed


@pytest.mark.parametrize(("prompt", "reading", "rows"), [(250, 0.0015, 1), (40, 0.0015, 4), (250, 0.0002, 1)])
@pytest.mark.parametrize("chances", [never, seldom])
@pytest.mark.parametrize("first", [3, 64])
def test_reading_prompts_costs_little_where_it_gains_nothing(
    chances: Seconds, prompt: int, reading: float, rows: int, first: int
) -> None:
    """But that it has to be tried twice. At a text's end, where there is no room for drafts, nothing is read."""

    def drafter(machine: Machine) -> Drafter:
        return Guesser(machine, 0.005, chances, 0.3, reading=reading)

    auto, options, texts = Auto(), {"rows": rows, "prompt": prompt}, 20
    speed(auto, drafter, packed, tokens=first, **options)
    plain = speed(Chain(), lambda machine: NoDrafter(), packed, tokens=64, **options)
    seconds = 64 * rows * texts / speed(auto, drafter, packed, tokens=64, texts=texts, **options)

    free = 2.2 * reading * (prompt + 64) * rows + 2 * packed(rows)
    assert seconds < 64 * rows * texts / plain / 0.975 + free


@pytest.mark.parametrize(("prompt", "reading"), [(250, 0.0015), (40, 0.0015), (250, 0.0002)])
@pytest.mark.parametrize("stall", [0.0, 4.0])
def test_reading_prompts_is_paid_from_what_it_gains(prompt: int, reading: float, stall: float) -> None:
    """Next to a drafter that need not read prompts, not much more is lost than reading them takes.

    It does not matter that the first reading takes long, because much is loaded then.
    """

    def drafter(machine: Machine) -> Drafter:
        return Guesser(machine, 0.002, often, reading=reading)

    def loading(machine: Machine) -> Drafter:
        return Guesser(machine, 0.002, often, reading=reading, stall=stall)

    def ready(machine: Machine) -> Drafter:
        return Guesser(machine, 0.002 + 2 * reading, often)

    auto = Auto()
    speed(auto, loading, packed, tokens=200, prompt=prompt)
    speed(auto, drafter, packed, tokens=200, prompt=prompt, texts=2)
    seconds = 200 / speed(auto, drafter, packed, tokens=200, prompt=prompt, texts=4)

    assert seconds < 1.05 * (200 / speed(auto, ready, packed, tokens=200, texts=4) + reading * prompt)


def test_the_first_draft_may_be_slow() -> None:
    """Much is loaded then, so that it says nothing of those after it."""

    def drafter(machine: Machine) -> Drafter:
        return Guesser(machine, 0.002, often, stall=0.5)

    seconds = 100 / speed(Auto(), drafter, packed, tokens=100)

    assert seconds < 0.5 + 100 * packed(1) / 1.5


def test_what_was_saved_pays_for_any_reading() -> None:
    """Also for one that takes longer than all that may be saved."""

    def drafter(machine: Machine) -> Drafter:
        return Guesser(machine, 0.002, often, reading=0.001)

    auto, plain = Auto(), 1 / packed(1)
    speed(auto, drafter, packed, tokens=300, prompt=40, texts=2)

    assert speed(auto, drafter, packed, tokens=1000, prompt=4000) > 1.25 * plain
