"""Counts and seconds over links: hand-worked examples on toys, and the same table twice."""

from random import Random

import pytest

from specdec import Sampling
from specdec.bench import Question
from specdec.bench.run import Task
from specdec.bench.split import LINKS, Experiment, Link, Times
from specdec.bench.split.delivery import ServerSteps, deliver
from specdec.bench.split.link import Lane
from specdec.bench.split.pace import measure_times
from specdec.bench.split.rows import BURST, SPLIT, STREAMING, Row
from specdec.bench.split.shaped_line import ShapedLine
from specdec.bench.split.shapes import Shape, choose
from specdec.context import Context
from specdec.drafters import NoDrafter, SmallModel
from specdec.errors import ConnectionLost, OptionError, TimedOut
from specdec.interfaces import TreePolicy
from specdec.policies import Chain
from specdec.split import Server
from specdec.transports import pipe
from specdec.tree import Tree
from tests.remote.hosts import toy
from tests.toys import perturbed, prompt

FAST = 1e9
"""Megabits per second by which bytes take no time."""
TARGET, TIMES = toy(), Times(target_pass=0.04, level=0.01)
TASKS = [
    Task("toys", Question(number, "", ("",)), tuple(prompt(9, number)), Sampling(1.0, seed=number)) for number in (1, 2)
]


def test_without_drafts_each_token_takes_a_pass_and_a_round_trip() -> None:
    """The prompt is read in one pass, within which the first tree arrives."""
    link = Link("toy", FAST, 30.0)
    found = deliver(Server.of(TARGET), TARGET, NoDrafter(), Chain(1), TASKS[0], 12, link, TIMES)

    assert found.first == pytest.approx(0.03 + 0.04 + 0.04 + 0.03)
    assert found.seconds == pytest.approx(found.first + 11 * (0.03 + 0.04 + 0.03))
    assert (len(found.tokens), found.calls, found.passes) == (12, 12, 12)


def test_a_perfect_drafter_takes_its_levels_too() -> None:
    """Chains of 3: four tokens a step, 12 in three steps; the first chain is drafted while the prompt is read."""
    link = Link("toy", FAST, 30.0)
    found = deliver(Server.of(TARGET), TARGET, SmallModel(TARGET.model), Chain(3), TASKS[0], 12, link, TIMES)

    assert found.first == pytest.approx(0.03 + 0.03 + 0.04 + 0.03 + max(0.04 - 0.03, 0))
    assert found.seconds == pytest.approx(found.first + 2 * (0.03 + 0.03 + 0.04 + 0.03))
    assert (found.calls, found.passes) == (3, 3)


def test_the_measured_level_leaves_the_prompt_out() -> None:
    seconds = 0.0

    class Slow(SmallModel):
        """Takes 100 seconds for a prompt, and one for each proposal, by `clock`."""

        def begin(self, context: Context) -> None:
            nonlocal seconds
            seconds += 100
            super().begin(context)

        def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
            nonlocal seconds
            seconds += 1
            return super().propose(context, policy)

    def clock() -> float:
        nonlocal seconds
        seconds += 0.001
        return seconds

    times = measure_times(TARGET, Slow(TARGET.model), Chain(1), TASKS[0], 12, clock)

    assert times.level == pytest.approx(1, rel=0.01)


def test_bytes_take_their_time() -> None:
    lane = Lane(Link("toy", 8.0, 100.0), Random(0))  # a byte takes a microsecond

    assert [lane.arrival(0.0, 10_000), lane.arrival(0.0, 10_000), lane.arrival(1.0, 0)] == pytest.approx(
        [0.11, 0.12, 1.1]
    )


def test_messages_keep_their_order_however_late_they_are() -> None:
    lane, arrivals = Lane(LINKS["4g"], Random(7)), list[float]()
    for number in range(200):
        arrivals.append(lane.arrival(number / 1000, 100))

    assert arrivals == sorted(arrivals)
    assert all(0.002 <= arrival - number / 1000 <= 0.05 for number, arrival in enumerate(arrivals))
    again = Lane(LINKS["4g"], Random(7))
    assert arrivals == [again.arrival(number / 1000, 100) for number in range(200)]


def test_streaming_takes_one_trip_and_a_pass_for_each_token() -> None:
    steps = ServerSteps.of(TARGET, NoDrafter(), Chain(1), TASKS[0], 12)
    found = steps.stream(TASKS[0], Link("toy", FAST, 30.0), TIMES, 512)

    assert (found.first, found.seconds) == pytest.approx((0.03 + 0.08 + 0.03, 0.03 + 0.04 + 12 * 0.04 + 0.03))
    assert (found.calls, found.passes, len(found.tokens)) == (1, 12, 12)


@pytest.mark.parametrize("kind", ["none", "fair", "perfect"])
@pytest.mark.parametrize("delay", [1.0, 30.0, 300.0])
def test_with_a_burst_it_is_never_slower_than_streaming(kind: str, delay: float) -> None:
    drafter = {"none": NoDrafter(), "fair": SmallModel(perturbed()), "perfect": SmallModel(TARGET.model)}[kind]
    link, task = Link("toy", FAST, delay), TASKS[0]
    streamed = ServerSteps.of(TARGET, NoDrafter(), Chain(1), task, 24).stream(task, link, TIMES, 512)
    found = deliver(Server.of(TARGET), TARGET, drafter, Chain(3), task, 24, link, TIMES, burst=64)

    assert found.tokens == streamed.tokens
    assert found.seconds <= streamed.seconds + 1e-9


def test_the_same_table_twice_and_every_text_is_plain_decodings() -> None:
    drafters = {"fair": SmallModel(perturbed()), "none": NoDrafter()}
    links = [LINKS["5g"], LINKS["weak"]]
    first, second = (
        Experiment(TARGET, drafters, TASKS[:1], TASKS[1:], 8, dict.fromkeys(drafters, TIMES)).rows(links)
        for _ in range(2)
    )

    assert first == second
    assert [row.link for row in first] == ["5g"] * 6 + ["weak"] * 6
    by = {(row.link, row.role, row.drafter): row for row in first}
    for name in drafters:
        assert by["weak", BURST, name].tokens_per_second >= 0.99 * by["weak", STREAMING, "none"].tokens_per_second
        assert by["weak", SPLIT, name].tokens_per_second < by["weak", BURST, name].tokens_per_second


def test_figures_of_a_row() -> None:
    steps = ServerSteps((2, 0), ((1, 2, 3), (4,)))
    found = steps.stream(TASKS[0], Link("toy", FAST, 10.0), TIMES, 512)
    row = Row.of("toy", SPLIT, "moa", "dynamic:depth=7", [found, found])

    assert found.seconds == pytest.approx(0.01 + 0.04 + 0.06 + 0.04 + 0.01)
    assert row.tokens_per_second == pytest.approx(4 / found.seconds)
    assert (row.calls, row.acceptance_length, row.depth) == (25.0, 2.0, "7")


def test_a_deeper_tree_is_chosen_for_a_longer_way() -> None:
    shapes = [Shape("shallow", levels=2, tokens=2.5), Shape("deep", levels=8, tokens=4.0)]

    assert choose(shapes, None, TIMES) == "shallow"  # 60 ms for 2.5 tokens, 120 for 4
    assert choose(shapes, Link("toy", FAST, 100.0), TIMES) == "deep"  # 260 for 2.5, 320 for 4


def test_links_have_names() -> None:
    assert Link.named("4g").round_trip == pytest.approx(0.042)
    with pytest.raises(OptionError, match="a link of wifi, cities, 5g, 4g, weak, got '6g'"):
        Link.named("6g")


def test_a_shaped_line_carries_messages_in_order_and_says_when_it_breaks() -> None:
    near, far = pipe()
    line = ShapedLine(near, Link("toy", 100.0, 5.0))
    for number in range(3):
        line.send(bytes([number]))
    assert [far.receive(60.0) for _ in range(3)] == [b"\x00", b"\x01", b"\x02"]
    far.send(b"back")
    assert line.receive(60.0) == b"back"
    with pytest.raises(TimedOut):
        line.receive(0.0)
    far.close()
    with pytest.raises(ConnectionLost):
        line.receive(60.0)
