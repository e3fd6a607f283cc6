"""The line to a server: what an error says of it, how it breaks, and who closes it when."""

from threading import Thread

import pytest

from specdec import Decoder, Needs, Sampling, Stop, Transport, Tree
from specdec.drafters import NoDrafter
from specdec.errors import TimedOut
from specdec.remote import Failover, Remote
from specdec.split import Server
from specdec.split.store import Store
from tests.remote.hosts import Lines, toy

PROMPT = [5, 6, 7]
TARGET = toy()


def remote(lines: Lines) -> Remote:
    return Remote(lines.connect, patience=1.0, clock=lines.clock, sleep=lines.sleep)


def begin(verifier: Remote) -> None:
    verifier.prefill([PROMPT], Needs(), [Sampling()])


def take_step(verifier: Remote) -> None:
    text = verifier.texts[0]
    assert text is not None
    assert verifier.verify([Tree.root(text.tokens[-1])]).tokens[0]


def test_an_error_says_what_went_wrong_last(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines(Server.of(TARGET))
    verifier = remote(lines)
    with monkeypatch.context() as full:
        full.setattr(Store, "make_room", lambda store, tenant, tokens: False)
        begin(verifier)
        with pytest.raises(TimedOut, match="got none: overloaded: the server is busy; try again later"):
            take_step(verifier)

        lines.cut()
        with pytest.raises(TimedOut, match="got none: out of reach"):
            take_step(verifier)

    lines.out = False
    take_step(verifier)
    lines.made[-1].mute = True
    with pytest.raises(TimedOut, match="got none: nothing came"):
        take_step(verifier)


def test_a_drafter_without_a_guess_is_told_that_nothing_came() -> None:
    class Mute(Lines):
        def connect(self) -> Transport:
            transport = super().connect()
            self.made[-1].mute = len(self.made) > 1
            return transport

    lines = Mute(Server.of(TARGET))
    stream = Decoder(NoDrafter(), Failover(remote(lines), silence=2.0)).stream([PROMPT], stop=Stop(max_tokens=9))
    next(stream)
    lines.made[-1].mute = True

    with pytest.raises(TimedOut, match="got neither: nothing came"):
        list(stream)


def test_each_time_without_the_target_gives_a_silent_drafter_a_second_try() -> None:
    lines, verified = Lines(Server.of(TARGET)), list[bool]()
    for step in Decoder(NoDrafter(), Failover(remote(lines))).stream([PROMPT], stop=Stop(max_tokens=9)):
        verified.append(step.verified)
        if len(verified) in (3, 6):
            lines.cut(1.5)

    assert [number for number, one in enumerate(verified) if not one] == [3, 6]


def test_a_line_that_breaks_with_an_error_of_the_system_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no buffer space")

    lines = Lines(Server.of(TARGET))
    verifier = remote(lines)
    for name in ("send", "close"):
        monkeypatch.setattr(lines.made[-1], name, fail)

    begin(verifier)
    assert str(verifier.link.broken) == "OSError: no buffer space"

    take_step(verifier)
    assert len(lines.made) == 2


def test_a_line_is_not_closed_while_another_thread_uses_it() -> None:
    link = remote(Lines(Server.of(TARGET))).link
    closing = Thread(target=link.drop)
    with link.lock:
        closing.start()
        closing.join(0.05)
        assert link.up

    closing.join()
    assert not link.up
