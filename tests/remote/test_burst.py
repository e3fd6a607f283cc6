"""A server that continues alone until the next tree comes: the same text, and no pass more than was allowed."""

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specdec import Decoder, Drafter, Sampling, Stop, Tree
from specdec.drafters import NoDrafter, SmallModel
from specdec.errors import OptionError
from specdec.policies import Dynamic
from specdec.remote import Failover, Remote
from specdec.split import Limits, Server
from specdec.split.messages import Verified, read_from_server
from tests.remote.hosts import Inline, Lines, toy
from tests.toys import Constant, Twins, Wrong, perturbed, prompt

TARGET = toy()
DRAFTERS: dict[str, Drafter] = {
    "good": SmallModel(perturbed()),
    "twin": SmallModel(TARGET.model),
    "wrong": Wrong(perturbed()),
    "twins": Twins(perturbed()),
    "constant": Constant(3),
    "none": NoDrafter(),
}
POLICY, LENGTH = Dynamic(depth=3, width=2, size=8), 16


def remote(lines: Lines, burst: int) -> Remote:
    return Remote(lines.connect, burst=burst, patience=1.0, clock=lines.clock, sleep=lines.sleep)


def plain(start: list[int], sampling: Sampling, length: int = LENGTH) -> tuple[int, ...]:
    return Decoder(NoDrafter(), TARGET).generate([start], sampling, Stop(length)).tokens[0]


@pytest.mark.parametrize(
    ("kind", "burst", "temperature"),
    [
        ("good", 3, 1.0),
        ("twin", 64, 0.0),
        ("wrong", 1, 0.0),
        ("twins", 5, 1.0),
        ("constant", 2, 0.0),
        ("none", 64, 1.0),
    ],
)
def test_the_text_is_the_same_with_any_burst_and_any_cut(kind: str, burst: int, temperature: float) -> None:
    start, sampling = prompt(9), Sampling(temperature, seed=burst)
    wanted = plain(start, sampling)
    for cut in (0, 3):
        lines = Lines(Server.of(TARGET))
        with Decoder(DRAFTERS[kind], remote(lines, burst), POLICY) as decoder:
            stream, said = decoder.stream([start], [sampling], Stop(LENGTH)), list[int]()
            for number in count():
                if number == cut:
                    lines.cut(0.2)
                if (step := next(stream, None)) is None:
                    break
                said += step.tokens[0]
                assert step.accepted[0] < len(step.tokens[0])
        assert tuple(said) == wanted


def test_batches_and_what_is_said_alone_are_the_same_too() -> None:
    starts, sampling = [prompt(5), prompt(12), prompt(1)], [Sampling(1.0, seed=number) for number in range(3)]
    lines = Lines(Server.of(TARGET))
    decoder = Decoder(DRAFTERS["good"], Failover(remote(lines, 4)), POLICY)
    said = [list[int]() for _ in starts]
    for number, step in enumerate(decoder.stream(starts, sampling, Stop(LENGTH))):
        for row, (tokens, new) in enumerate(zip(said, step.tokens, strict=True)):
            tokens[len(tokens) - step.retracted[row] :] = new
        if number == 1:
            lines.cut(1.2)

    assert step.verified
    assert [tuple(tokens) for tokens in said] == [plain(*row) for row in zip(starts, sampling, strict=True)]


def answers(line: Inline) -> list[Verified]:
    return [message for data in line.arrived if isinstance(message := read_from_server(data), Verified)]


def ask(server: Server, burst: int, start: list[int]) -> Inline:
    """Have a client ask once, and let the server work until it has nothing left to do."""
    lines = Lines(server)
    one = remote(lines, burst)
    one.prefill([start], NoDrafter().needs, [Sampling()])
    while server.tick():
        pass
    return lines.made[0]


@pytest.mark.parametrize(("burst", "limit", "expected"), [(1, 64, 2), (5, 64, 6), (9, 3, 4)])
def test_it_ends_after_as_many_answers_as_were_allowed(burst: int, limit: int, expected: int) -> None:
    line = ask(Server.of(TARGET, limits=Limits(burst=limit)), burst, prompt(4))

    assert len(answers(line)) == expected


def test_it_ends_with_the_text() -> None:
    said = plain(prompt(4), Sampling())
    place = next(number for number in range(2, LENGTH) if said[number] not in said[:number])
    server = Server.of(TARGET)
    server.end_tokens = (said[place],)

    assert len(answers(ask(server, 64, prompt(4)))) == place + 1


def test_it_ends_at_the_models_last_position_and_when_the_server_drains() -> None:
    most = TARGET.max_length or 0
    line = ask(Server.of(TARGET, limits=Limits(burst=2 * most)), 2 * most, prompt(4))
    assert sum(len(one.tokens) // 4 for one in answers(line)) == most - 4

    server = Server.of(TARGET)
    lines = Lines(server)
    one = remote(lines, 64)
    one.prefill([prompt(4)], NoDrafter().needs, [Sampling()])
    while not answers(lines.made[0]):
        server.tick()
    server.drain(1.0)
    while server.tick():
        pass
    assert len(answers(lines.made[0])) == 2  # what waits is still done


def test_a_tree_that_comes_late_counts_from_where_the_text_is() -> None:
    """The twin's tree is right: with one token decided meanwhile, the pass accepts what the tree has after it."""
    said = plain(prompt(4), Sampling())
    server = Server.of(TARGET)
    lines = Lines(server)
    one = remote(lines, 64)
    one.prefill([prompt(4)], NoDrafter().needs, [Sampling()])
    while not (got := answers(lines.made[0])):
        server.tick()
    assert [len(each.tokens) // 4 for each in got] == [1]

    one.ask({0: Tree.of([prompt(4)[-1], *said[:5]], [-1, 0, 1, 2, 3, 4])})
    one.link.flush()
    server.tick()
    assert [len(each.tokens) // 4 for each in answers(lines.made[0])] == [1, 5]


def test_a_burst_that_means_nothing_is_refused() -> None:
    with pytest.raises(OptionError, match="a burst of 0 or more answers, got -1"):
        Remote(Lines(Server.of(TARGET)).connect, burst=-1)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    parents = [-1, *(draw(st.integers(0, node)) for node in range(draw(st.integers(0, 12))))]
    return Tree.of([draw(st.integers(0, 2)) for _ in parents], parents)


@settings(max_examples=60, deadline=None)
@given(trees(), st.lists(st.integers(0, 2), max_size=4), st.lists(st.integers(0, 2), max_size=4))
def test_what_is_below_some_tokens_is_what_follows_them(tree: Tree, tokens: list[int], more: list[int]) -> None:
    rest = tree.below(tokens)

    assert rest.tokens[0] == (tokens[-1] if tokens else tree.tokens[0])
    if len(tree.follow(tokens)) == len(tokens):
        assert len(rest.follow(more)) == len(tree.follow(tokens + more)) - len(tokens)
    else:
        assert len(rest) == 1
