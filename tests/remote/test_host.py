"""The server's thread outlives what its lines do."""

import threading
from contextlib import suppress
from queue import Empty
from threading import Event
from time import sleep

import pytest

from specdec import Decoder, Stop, Transport
from specdec.drafters import NoDrafter
from specdec.errors import ConnectionLost
from specdec.remote import Remote
from specdec.split import Connection, Limits, Server
from specdec.transports import LocalTransport
from tests.remote.hosts import hosting, toy
from tests.waiting import wait_for

PROMPT = [5, 6, 7]


def test_a_host_that_was_closed_leaves_no_lines() -> None:
    before = threading.active_count()
    with hosting(toy()) as host:
        remotes = [Remote(host.connect, patience=5.0) for _ in range(3)]
        assert threading.active_count() == before + 4
    for thread in threading.enumerate():
        if thread.name == "specdec line":
            thread.join(5)

    assert threading.active_count() == before
    with pytest.raises(ConnectionLost, match="was stopped"):
        host.connect()
    assert remotes


@pytest.mark.parametrize("error", [ConnectionLost("closed"), ConnectionResetError("reset"), RuntimeError("a bug")])
def test_a_line_that_breaks_in_any_way_is_forgotten(error: Exception) -> None:
    class Broken(Transport):
        def send(self, message: bytes) -> None:
            raise error

        def receive(self, timeout: float | None = None) -> bytes:
            raise error

    with hosting(toy()) as host:
        with suppress(RuntimeError):  # which the thread of the line reports
            host.serve(Broken())
        done = Event()
        host.submit(done.set)
        assert done.wait(5)
        assert not host.server.connections


@pytest.mark.parametrize("error", [RuntimeError("a user's text"), Empty("a user's text")])
def test_an_error_in_the_server_s_thread_does_not_end_it(
    error: Exception, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether queued work or a turn raises it: the work that waits is still done."""

    def fail() -> bool:
        raise error

    failing, tick, free, done = [fail], Server.tick, Event(), Event()
    monkeypatch.setattr(Server, "tick", lambda server: failing.pop()() if failing else tick(server))
    with hosting(toy()) as host:
        for work in (free.wait, fail, done.set):
            host.submit(work)
        free.set()
        assert done.wait(5)
        wait_for(lambda: len(caplog.records) == 2)
        decoder = Decoder(NoDrafter(), Remote(host.connect, patience=5.0))
        assert decoder.generate([PROMPT], stop=Stop(max_tokens=3)).tokens

    assert type(error).__name__ in caplog.text
    assert __file__ in caplog.text
    assert "a user's text" not in caplog.text


@pytest.mark.parametrize(("size", "most"), [(0, 16 + 4 * 64), (2**20, 16)])
def test_a_client_that_floods_fills_no_memory(size: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the server's thread is busy with one, few messages of a line wait for it; the others are left to the line.

    They are more than a client sends at once that opens all its sessions, with a tree for each, and fewer if large.
    """
    free, busy, receive = Event(), Event(), Server.receive
    assert size or most > 2 * Limits().tenant_sessions + 1

    def hold(server: Server, connection: Connection, data: bytes) -> None:
        busy.set()
        free.wait()
        receive(server, connection, data)

    monkeypatch.setattr(Server, "receive", hold)
    with hosting(toy()) as host:
        line = host.connect()
        assert isinstance(line, LocalTransport)
        for _ in range(2 * most):
            line.send(bytes(size))
        try:
            assert busy.wait(60)
            wait_for(lambda: len(line._leaving) <= most - 1)  # all but those that wait, and one that is to wait
            sleep(0.1)
            assert len(line._leaving) == most - 1
        finally:
            free.set()


def test_a_client_that_sends_without_pause_does_not_stop_the_others() -> None:
    """Whatever it sends is work; here each piece queues the next one before it is done."""
    over = Event()
    with hosting(toy()) as host:

        def again() -> None:
            if not over.is_set():
                host.submit(again)

        host.submit(again)
        try:
            found = Decoder(NoDrafter(), Remote(host.connect, patience=20.0)).generate(
                [PROMPT], stop=Stop(max_tokens=3)
            )
        finally:
            over.set()

    assert len(found.tokens[0]) == 3
