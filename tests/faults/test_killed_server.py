"""A server may be killed at any point of a step; another is started in its place, and the text is the same."""

from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from threading import Thread

import pytest

from specdec import Decoder, load_drafter
from specdec.remote import Remote
from specdec.testing import FaultProxy
from tests.faults.killed import POINTS, serve
from tests.faults.services import CONNECT, PACKAGE, PROMPTS, SAMPLING, STOP, wanted
from tests.remote.hosts import toy

HALF_WRITTEN = "its answer half written"
PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["transformers", "uvicorn", "specdec.remote", "specdec.split"])


class Servers:
    """Processes, one after the other, with a proxy in front."""

    def __init__(self, kind: str) -> None:
        self.kind, self.processes = kind, list[BaseProcess]()

    def start(self, point: str = "") -> tuple[str, int]:
        near, far = PROCESSES.Pipe()
        self.processes.append(PROCESSES.Process(target=serve, args=(self.kind, point, far), daemon=True))
        self.processes[-1].start()
        return "127.0.0.1", near.recv()

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()


@pytest.fixture
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    kind = request.param
    pytest.importorskip(PACKAGE[kind])
    servers = Servers(kind)
    yield servers
    servers.end()


@pytest.mark.parametrize(
    ("servers", "point"),
    [
        pytest.param(kind, point, marks=() if (kind, point) == ("ws", "executing") else pytest.mark.slow)
        for kind in ("ws", "grpc")
        for point in (*POINTS, HALF_WRITTEN)
    ],
    indirect=["servers"],
)
def test_the_text_is_the_target_s(servers: Servers, point: str) -> None:
    with FaultProxy(servers.start(point)) as proxy:
        remote = Remote(lambda: CONNECT[servers.kind](proxy.address), patience=120.0)
        with Decoder(load_drafter("ngram"), remote) as decoder:
            steps = decoder.stream(PROMPTS, SAMPLING, STOP)
            tokens = list(next(steps).tokens[0])
            if point == HALF_WRITTEN:
                proxy.cut_after(down=40)

            def replace() -> None:
                if point == HALF_WRITTEN:
                    proxy.struck.wait()
                    servers.processes[0].kill()
                servers.processes[0].join()
                proxy.target = servers.start()

            replacing = Thread(target=replace)
            replacing.start()
            tokens += [token for step in steps for token in step.tokens[0]]
            replacing.join()
        remote.close()

    assert [tuple(tokens)] == [*wanted(toy())]  # type: ignore[misc]
    assert servers.processes[0].exitcode == -9
    assert len(servers.processes) == 2
