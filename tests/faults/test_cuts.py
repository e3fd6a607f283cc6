"""A line may end at any byte that a network carries, by FIN and by RST, and change any bit: the text is the same."""

from collections.abc import Iterator

import pytest

from specdec import Target
from specdec.errors import TimedOut
from specdec.testing import FaultProxy
from tests.faults.services import decode, serving, wanted
from tests.remote.hosts import toy


@pytest.fixture(scope="module")
def target() -> Target:
    return toy()


@pytest.fixture(scope="module", params=["ws", "grpc"])
def service(request: pytest.FixtureRequest, target: Target) -> Iterator[tuple[str, FaultProxy]]:
    with serving(request.param, Target(target.model)) as (_, proxy):
        yield request.param, proxy


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specdec.remote.link.SOONEST", 0.002)


def outcome(kind: str, proxy: FaultProxy, fault: str) -> object:
    """What is said; a bit in a frame's length may also make a message be awaited that never comes, without TLS."""
    try:
        return decode(kind, proxy.address, patience=2.5 if fault == "bit" else 60.0)
    except TimedOut:
        return TimedOut if fault == "bit" else None


@pytest.mark.parametrize("stride", [pytest.param(211, id="some"), pytest.param(3, id="more", marks=pytest.mark.slow)])
@pytest.mark.parametrize("fault", ["FIN", "RST", "bit"])
def test_the_text_is_the_target_s(service: tuple[str, FaultProxy], target: Target, fault: str, stride: int) -> None:
    kind, proxy = service
    text, struck, sizes = wanted(target), 0, dict[str, int]()
    stride *= 1 + 6 * (fault == "bit" and stride < 100)  # some of these stall a line until its time is over
    for way in ("up", "down"):
        before = getattr(proxy, way).count
        assert decode(kind, proxy.address) == text
        sizes[way] = getattr(proxy, way).count - before
        for place in range(0, sizes[way], stride):
            if fault == "bit":
                proxy.corrupt(**{way: [8 * place + place % 8]})
            else:
                proxy.cut_after(**{way: place}, reset=fault == "RST")
            assert outcome(kind, proxy, fault) in (text, TimedOut), (way, place)
            struck += proxy.struck.is_set()
            proxy.heal()
    assert struck > 0.8 * sum(sizes.values()) / stride
