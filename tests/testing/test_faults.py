"""The proxy does what it is told to, and nothing else."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from queue import SimpleQueue
from random import Random
from time import monotonic

import pytest

from specdec.testing import FaultProxy
from specdec.testing.faults import Way

DATA = bytes(range(256)) * 40


class Echo:
    """A server that says again what it hears; of a line that is over, `heard` has all of it."""

    def __init__(self) -> None:
        self.heard = SimpleQueue[bytes]()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1", self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        while True:
            try:
                line, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=[line], daemon=True).start()

    def serve(self, line: socket.socket) -> None:
        heard = bytearray()
        with line, suppress(OSError):
            while data := line.recv(2**16):
                heard += data
                line.sendall(data)
        self.heard.put(bytes(heard))

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.close()


@contextmanager
def connected(proxy: FaultProxy) -> Iterator[socket.socket]:
    host, _, port = proxy.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as line:
        yield line


def exchange(line: socket.socket, data: bytes = DATA) -> tuple[bytes, str]:
    """Say something and that it was all, hear what comes back, and how it ends."""
    came = bytearray()
    try:
        line.sendall(data)
        line.shutdown(socket.SHUT_WR)
        while part := line.recv(2**16):
            came += part
    except OSError as error:
        return bytes(came), "silence" if isinstance(error, TimeoutError) else "RST"
    return bytes(came), "FIN"


def test_it_changes_nothing_unless_it_is_told_to(echo: Echo) -> None:
    with FaultProxy(echo.address) as proxy:
        with connected(proxy) as line:
            assert exchange(line, DATA * 50) == (DATA * 50, "FIN")
        assert not proxy.struck.is_set()
        assert proxy.up.count == proxy.down.count == len(DATA * 50)


@pytest.mark.parametrize("size", [0, 1, 1399, 1400, 1401, 5000])
def test_lines_are_cut_at_a_byte(echo: Echo, size: int) -> None:
    with FaultProxy(echo.address) as proxy:
        proxy.cut_after(down=size)
        with connected(proxy) as line:
            came, _ = exchange(line)
        assert came == DATA[:size]
        assert proxy.struck.is_set()
        echo.heard.get(timeout=20)

        proxy.cut_after(up=size)
        with connected(proxy) as line:
            exchange(line)
        assert echo.heard.get(timeout=20) == DATA[:size]
        with connected(proxy) as line:  # it was for once
            assert exchange(line) == (DATA, "FIN")


@pytest.mark.parametrize(("reset", "end"), [(False, "FIN"), (True, "RST")])
@pytest.mark.parametrize("later", [False, True])
def test_a_line_ends_by_fin_or_by_rst(echo: Echo, reset: bool, end: str, later: bool) -> None:
    with FaultProxy(echo.address) as proxy, connected(proxy) as line:
        if not later:
            proxy.cut_after(down=100, reset=reset)
        line.sendall(bytes(100))
        if later:
            assert len(line.recv(100)) == 100
            proxy.cut(reset=reset)
        assert heard(line) == end


def heard(line: socket.socket) -> str:
    """Listen to the end, and say how it is."""
    try:
        while line.recv(2**16):
            pass
    except OSError:
        return "RST"
    return "FIN"


def test_chosen_bits_are_flipped(echo: Echo) -> None:
    with FaultProxy(echo.address) as proxy, connected(proxy) as line:
        proxy.corrupt(up=[0, 8 * 5000 + 7], down=[8 * 100 + 3])
        came, end = exchange(line)
    changed = {place: came[place] ^ DATA[place] for place in range(len(DATA)) if came[place] != DATA[place]}
    assert (changed, end) == ({0: 1, 5000: 128, 100: 8}, "FIN")


def test_what_is_swallowed_is_silence(echo: Echo) -> None:
    with FaultProxy(echo.address) as proxy:
        with connected(proxy) as old:
            old.sendall(b"before")
            assert old.recv(100) == b"before"
            proxy.swallow()
            with connected(proxy) as new:
                for line in (old, new):
                    line.settimeout(0.05)
                    assert exchange(line) == (b"", "silence")
                proxy.heal()
                with pytest.raises(TimeoutError):  # it is dead for good
                    new.recv(1)
        with connected(proxy) as line:
            assert exchange(line) == (DATA, "FIN")
    assert sorted([echo.heard.get(timeout=20) for _ in range(2)]) == [DATA, b"before"]


def test_lines_are_refused_until_it_is_healed(echo: Echo) -> None:
    with FaultProxy(echo.address) as proxy:
        proxy.refuse()
        with pytest.raises(ConnectionError), connected(proxy) as line:  # as it is made, or by its first use
            line.recv(1)
        proxy.heal()
        with connected(proxy) as line:
            assert exchange(line) == (DATA, "FIN")


def test_a_server_that_is_gone_is_gone(echo: Echo) -> None:
    with FaultProxy(("127.0.0.1", 9)) as proxy:
        with connected(proxy) as line:
            assert exchange(line)[0] == b""
        proxy.target = echo.address  # another takes its place
        with connected(proxy) as line:
            assert exchange(line) == (DATA, "FIN")


def test_bytes_are_late_before_they_are_written(echo: Echo) -> None:
    with FaultProxy(echo.address) as proxy, connected(proxy) as line:
        proxy.delay(latency=0.05, rate=1e6)
        began = monotonic()
        assert exchange(line) == (DATA, "FIN")
        assert monotonic() - began >= 0.1 + len(DATA) / 1e6


def test_a_pace_in_virtual_time_keeps_order_and_comes_from_the_seed() -> None:
    """At 1000 bytes a second, with jitter: as late as it should be, and the same again."""

    def arrivals(seed: int) -> list[float]:
        way = Way(Random(seed), latency=0.2, jitter=0.1, rate=1000.0)
        return [way.due(100, now=0.05 * number) for number in range(200)]

    times = arrivals(1)
    assert times == arrivals(1) != arrivals(2)
    assert all(early < late for early, late in pairwise(times))
    for number, time in enumerate(times):
        assert 0.1 <= time - 0.1 * (number + 1) <= 0.3 + 1e-9


def test_nothing_of_it_is_left(echo: Echo) -> None:
    with FaultProxy(echo.address) as proxy, connected(proxy) as line:
        line.sendall(b"still open")
        assert line.recv(100) == b"still open"
        assert len(proxy.lines) == 1
    assert not proxy.lines
    assert "specdec fault proxy" not in [thread.name for thread in threading.enumerate()]
