"""The transports of this process keep their promises."""

from specdec import Transport
from specdec.testing import check_transport
from specdec.transports import Counting, Traffic, pipe
from tests.split.at_once import check_at_once


def test_a_pipe_is_a_transport() -> None:
    check_transport(pipe)
    check_at_once(pipe)


def test_so_is_one_that_counts() -> None:
    def ends() -> tuple[Transport, Transport]:
        near, far = pipe()
        return Counting(near, Traffic()), far

    check_transport(ends)


def test_bytes_and_round_trips_are_counted() -> None:
    traffic, (near, far) = Traffic(), pipe()
    line = Counting(near, traffic)
    for message in (b"a", b"bc"):
        line.send(message)
    for message in (b"def", b"", b"g"):
        far.send(message)
        line.receive()
    before = traffic.copy()
    line.send(b"again")
    far.send(b"!")
    line.receive()

    assert (before.bytes_up, before.bytes_down, before.round_trips) == (3, 4, 1)
    assert traffic.since(before) == Traffic(5, 1, 1)
