"""Targets at a real port of this machine, by each transport that there is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest

from specdec import Decoder, Sampling, Stop, Target, Transport, load_drafter
from specdec.remote import Host, Remote
from specdec.split import Limits
from specdec.testing import FaultProxy
from tests.remote.hosts import hosting

PROMPTS, SAMPLING, STOP = [[5, 6, 7, 5, 6]], Sampling(temperature=0.8, seed=11), Stop(max_tokens=6)


@contextmanager
def by_websocket(target: Target, limits: Limits) -> Iterator[tuple[Host, int]]:
    from specdec_serve import Draining, Service

    service = Service.of(target, limits=limits)
    server = Draining(service, 0.0, port=0)
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield service.host, server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()
    service.close()


@contextmanager
def by_grpc(target: Target, limits: Limits) -> Iterator[tuple[Host, int]]:
    from specdec_grpc import Listener

    with hosting(target, limits=limits) as host:
        listener = Listener(host)
        yield host, listener.port
        listener.close()


def websocket(address: str) -> Transport:
    from specdec_serve import WebSocket

    return WebSocket.to(f"ws://{address}")


def grpc(address: str) -> Transport:
    from specdec_grpc import Stream

    return Stream.to(f"grpc://{address}")


SERVE: dict[str, Callable[[Target, Limits], Any]] = {"ws": by_websocket, "grpc": by_grpc}
CONNECT: dict[str, Callable[[str], Transport]] = {"ws": websocket, "grpc": grpc}
PACKAGE = {"ws": "specdec_serve", "grpc": "specdec_grpc"}


@contextmanager
def serving(kind: str, target: Target, limits: Limits = Limits()) -> Iterator[tuple[Host, FaultProxy]]:  # noqa: B008
    """Serve a target by a transport, if its package is installed; a proxy stands in front."""
    pytest.importorskip(PACKAGE[kind])
    with SERVE[kind](target, limits) as (host, port), FaultProxy(("127.0.0.1", port)) as proxy:
        yield host, proxy


def wanted(target: Target) -> object:
    """What the target says by itself."""
    return Decoder(load_drafter("none"), target).generate(PROMPTS, SAMPLING, STOP).tokens


def decode(kind: str, address: str, **options: Any) -> object:
    """Generate the text with the target at an address."""
    remote = Remote(lambda: CONNECT[kind](address), **{"patience": 60.0, **options})
    with Decoder(load_drafter("ngram"), remote) as decoder:
        return decoder.generate(PROMPTS, SAMPLING, STOP).tokens
