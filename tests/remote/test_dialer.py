"""Lines are made while something else is done."""

import gc
from threading import Event

import pytest

from specdec import Transport
from specdec.errors import AccessDenied, ConnectionLost
from specdec.remote import Dialer
from specdec.transports import pipe


def test_a_line_that_takes_long_is_there_later() -> None:
    line, ready, calls = pipe()[0], Event(), list[int]()

    def connect() -> Transport:
        calls.append(1)
        ready.wait()
        return line

    dialer = Dialer(connect, moment=0.0)
    for _ in range(3):
        with pytest.raises(ConnectionLost, match="none yet"):
            dialer()
    ready.set()
    dialer.moment = 60.0

    assert dialer() is line
    assert len(calls) == 1
    assert dialer() is line
    assert len(calls) == 2


def test_what_went_wrong_is_said_and_tried_again() -> None:
    errors = [ConnectionLost("no route"), AccessDenied("no")]

    def connect() -> Transport:
        raise errors.pop(0)

    dialer = Dialer(connect, moment=60.0)
    with pytest.raises(ConnectionLost, match="no route"):
        dialer()
    with pytest.raises(AccessDenied):
        dialer()


def test_a_line_that_nobody_waits_for_any_more_is_closed() -> None:
    near, far = pipe()
    ready = Event()

    def connect() -> Transport:
        ready.wait()
        return near

    dialer = Dialer(connect, moment=0.0)
    with pytest.raises(ConnectionLost):
        dialer()
    del dialer
    gc.collect()
    ready.set()

    with pytest.raises(ConnectionLost):
        far.receive(60.0)


def test_while_there_is_no_line_it_is_known_why_there_was_none() -> None:
    """A certificate that is not trusted, say, is not hidden by the next attempt."""
    calls, over = list[None](), Event()

    def connect() -> Transport:
        calls.append(None)
        if len(calls) > 1:
            over.wait()
        raise ConnectionLost("the certificate is not trusted")

    dialer = Dialer(connect, moment=60.0)
    with pytest.raises(ConnectionLost, match="not trusted"):
        dialer()
    dialer.moment = 0.0
    with pytest.raises(ConnectionLost, match="not trusted"):
        dialer()
    over.set()
