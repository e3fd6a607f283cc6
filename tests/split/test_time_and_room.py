"""What a server does not do: what comes too late, what is too much, what nobody has used for long."""

import ast
from pathlib import Path

import pytest

import specdec.remote
import specdec.split
import specdec.transports
from specdec.split import Limits, Server
from specdec.split.messages import ID, Code, Hello, Open, Refused, Verified, encode, pack_tokens
from specdec.target.sessions import Sessions
from tests.remote.hosts import toy
from tests.split.test_hostile import OPEN, PROMPT, Peer, codes, verify

NAMES = [bytes([number]) * ID for number in range(40)]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Server:
    limits = Limits(tenant_waiting=4, sessions=40, tenant_sessions=40, idle=60.0, retry=0.25)
    return Server.of(toy(), clock=clock, limits=limits)


def opening(sid: bytes) -> Open:
    return Open(sid, 1, pack_tokens(PROMPT), {}, (), (), (), False, "", "float16", None)


def hear(peer: Peer, *messages: object) -> None:
    """Let a server hear of it, and not turn to it yet."""
    for message in messages:
        peer.server.receive(peer.line, encode(message))  # type: ignore[arg-type]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the passes over trees that are made."""
    sizes, verify = list[int](), Sessions.verify

    def count(sessions: Sessions, some: list[object], trees: list[object]) -> object:
        sizes.append(len(trees))
        return verify(sessions, some, trees)  # type: ignore[arg-type]

    monkeypatch.setattr(Sessions, "verify", count)
    return sizes


def test_a_step_whose_time_is_over_is_not_computed(server: Server, clock: Clock, passes: list[int]) -> None:
    peer = Peer(server)
    peer.say(Hello(1, 1), OPEN)
    hear(peer, verify())

    clock.now += 1.001

    (refusal,) = peer.say()
    assert isinstance(refusal, Refused)
    assert (refusal.code, refusal.detail) == (Code.EXPIRED, "the tree was not verified within its time limit")
    assert passes == []
    assert codes(peer.say(verify())) == ["Verified"]


def test_a_pass_has_few_nodes_and_who_waited_longest_comes_first(clock: Clock, passes: list[int]) -> None:
    """Of trees of 2, 3, 1, 3 and 9 nodes, 4 at most: the others wait for later turns, and all are answered."""
    server = Server.of(toy(), clock=clock, limits=Limits(pass_nodes=4))
    peer = Peer(server)
    peer.say(Hello(1, 1), *[opening(sid) for sid in NAMES[:5]])
    trees = {NAMES[number]: size for number, size in ((3, 2), (1, 3), (0, 1), (2, 3), (4, 9))}
    for sid, size in trees.items():
        clock.now += 0.01
        hear(peer, verify(sid=sid, tokens=pack_tokens([3] * size), parents=bytes(size - 1)))

    answered = list[list[bytes]]()
    while server.busy:
        peer.got.clear()
        server.tick()
        answered.append([message.sid for message in peer.got if isinstance(message, Verified)])

    assert answered == [[NAMES[3]], [NAMES[1], NAMES[0]], [NAMES[2]], [NAMES[4]]]
    assert passes == [1, 2, 1, 1]


def names(path: Path) -> set[str]:
    """The names that a file uses, and those of attributes after a dot."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    attributes = {f"{ast.unparse(node.value)}.{node.attr}" for node in nodes if isinstance(node, ast.Attribute)}
    return attributes | {node.id for node in nodes if isinstance(node, ast.Name)}


FILES = [
    path
    for package in (specdec.split, specdec.remote, specdec.transports)
    for path in sorted(Path(str(package.__file__)).parent.glob("*.py"))
]


def test_a_clock_that_is_set_changes_nothing() -> None:
    """Clocks are given, or monotonic; what is sent are durations. Only a token's expiry is a calendar's time."""
    calendar = {"time.time", "time.time_ns", "time.localtime", "datetime"}
    assert [path.name for path in FILES if names(path) & calendar] == ["tenants.py"]


def test_nothing_of_a_text_is_logged() -> None:
    """A host logs that its server made an error, and where; test_host.py reads what it writes."""
    assert [path.name for path in FILES if names(path) & {"logging", "print", "warnings"}] == ["host.py"]


def test_a_session_that_nobody_uses_is_forgotten_and_one_that_waits_is_not(server: Server, clock: Clock) -> None:
    peer = Peer(server)
    peer.say(Hello(1, 1), opening(NAMES[0]), opening(NAMES[1]))
    clock.now += 59.0
    assert codes(peer.say(verify(sid=NAMES[1]))) == ["Verified"]
    assert len(server.store) == 2

    clock.now += 2.0
    server.tick()
    assert [sid for _, sid in server.store.records] == [NAMES[1]]
    assert codes(peer.say(verify(sid=NAMES[0]))) == [Code.UNKNOWN]  # and its client opens it again


def test_four_times_what_may_wait_is_turned_away_and_the_other_tenant_is_not(server: Server, passes: list[int]) -> None:
    one, two = Peer(server, "one"), Peer(server, "two")
    one.say(Hello(1, 1), *[opening(sid) for sid in NAMES[:16]])
    two.say(Hello(1, 1), *[opening(sid) for sid in NAMES[:2]])

    one.got.clear()
    hear(one, *[verify(sid=sid) for sid in NAMES[:16]])
    hear(two, *[verify(sid=sid) for sid in NAMES[:2]])
    refused = [message for message in one.got if isinstance(message, Refused)]
    assert [message.code for message in refused] == [Code.OVERLOADED] * 12
    assert {message.retry_ms for message in refused} == {250}
    assert server.store.waiting("one") == 4

    while server.tick():
        pass
    assert passes == [6]
    assert codes(two.got)[-2:] == ["Verified"] * 2
    for _ in range(3):  # in as many turns the others have theirs
        hear(one, *[verify(sid=message.sid) for message in refused[:4]])
        del refused[:4]
        server.tick()
    assert not refused
    assert codes(one.got).count("Verified") == 16
