"""Clients that come and go in every phase of a step leave nothing: no thread, descriptor, session, slot or memory."""

import gc
import threading
from collections.abc import Iterator

import pytest

from specdec import Transport
from specdec.remote import Host
from specdec.split import Limits
from specdec.split.messages import ID, Hello, Open, Verified, Verify, encode, pack_tokens, read_from_server
from specdec.split.prefix_hash import PrefixHash
from specdec.testing import FaultProxy
from tests.faults.services import CONNECT, serving
from tests.remote.hosts import toy
from tests.waiting import PATIENCE, wait_for

psutil = pytest.importorskip("psutil")

PROMPT = [5, 6, 7]
PHASES = ("connected", "opened", "asked", "answered")
SLACK = 16
"""Threads and descriptors by which a pool may have grown since it was looked at first."""


@pytest.fixture(params=["ws", "grpc"])
def service(request: pytest.FixtureRequest) -> Iterator[tuple[str, Host, FaultProxy]]:
    with serving(request.param, toy(), Limits(sessions=8)) as (host, proxy):
        yield request.param, host, proxy


def go(transport: Transport, number: int, phase: str) -> None:
    """Begin a step, and leave in a phase of it."""
    sid = number.to_bytes(ID, "little")
    opening = Open(sid, 1, pack_tokens(PROMPT), {}, (), (), (), False, "", "float16", None)
    step = Verify(sid, 1, len(PROMPT), PrefixHash(PROMPT).digest, pack_tokens(PROMPT[-1:]), b"", 10_000)
    said = [Hello(1, 1), opening, step][: PHASES.index(phase) + 1] if phase != "connected" else []
    for message in said:
        transport.send(encode(message))
    while phase == "answered" and not isinstance(read_from_server(transport.receive(PATIENCE)), Verified):
        pass
    transport.close()


@pytest.mark.parametrize("count", [pytest.param(200, id="200"), pytest.param(5000, id="5000", marks=pytest.mark.slow)])
def test_nothing_is_left(service: tuple[str, Host, FaultProxy], count: int) -> None:
    kind, host, proxy = service
    address, process = f"127.0.0.1:{proxy.target[1]}", psutil.Process()
    memory, threads, files = list[int](), 0, 0
    for number in range(count):
        go(CONNECT[kind](address), number, PHASES[number % len(PHASES)])
        if number == count // 5:
            wait_for(lambda: not host.server.connections)
            threads, files = threading.active_count(), process.num_fds()
        if number % 1000 == 999:
            gc.collect()
            memory.append(process.memory_info().rss)

    wait_for(lambda: not host.server.connections)
    wait_for(lambda: threading.active_count() <= threads + SLACK)
    wait_for(lambda: process.num_fds() <= files + SLACK)
    host.submit(lambda: host.server.store.forget(list(host.server.store.records)))
    wait_for(lambda: not host.server.store.records)
    assert host.server.sessions.engine._slots == []
    assert max(memory, default=0) - min(memory, default=0) <= 2**23, memory  # two kilobytes of each client
