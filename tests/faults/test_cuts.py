"""A line may end at every byte that a network carries, by FIN and by RST, and change any bit: the text is the same."""

from collections.abc import Iterator

import pytest

from specdec import Target
from specdec.testing import FaultProxy
from tests.faults.services import decode, serving, wanted
from tests.remote.hosts import hosting, toy


@pytest.fixture(scope="module")
def target() -> Target:
    return toy()


@pytest.fixture(scope="module", params=["ws", "grpc"])
def service(request: pytest.FixtureRequest, target: Target) -> Iterator[tuple[str, FaultProxy]]:
    with hosting(Target(target.model)) as host, serving(request.param, host) as proxy:
        yield request.param, proxy


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specdec.remote.link.SOONEST", 0.002)


@pytest.mark.parametrize("stride", [pytest.param(211, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)])
@pytest.mark.parametrize("fault", ["FIN", "RST", "bit"])
def test_the_text_is_the_target_s(service: tuple[str, FaultProxy], target: Target, fault: str, stride: int) -> None:
    kind, proxy = service
    text, struck, sizes = wanted(target), 0, dict[str, int]()
    stride = max(stride, 7) if fault == "bit" else stride  # some of them stall a line until keepalive finds out
    for way in ("up", "down"):
        before = getattr(proxy, way).count
        assert decode(kind, proxy.address) == text
        sizes[way] = getattr(proxy, way).count - before
        for place in range(0, sizes[way], stride):
            if fault == "bit":
                proxy.corrupt(**{way: [8 * place + place % 8]})
            else:
                proxy.cut_after(**{way: place}, reset=fault == "RST")
            assert decode(kind, proxy.address) == text, (way, place)
            struck += proxy.struck.is_set()
            proxy.heal()
    assert struck > 0.8 * sum(sizes.values()) / stride
