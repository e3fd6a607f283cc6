"""Whatever a line does to what it carries, at any place: the right text, or an error of specdec's own."""

from collections.abc import Callable

import pytest

from specdec.errors import ConnectionLost, SpecdecError
from specdec.split.messages import (
    Opened,
    Read,
    Verified,
    Verify,
    read_from_client,
    read_from_server,
    seal,
)
from tests.remote.exchange import WAYS, Exchange, Places, flip
from tests.remote.hosts import toy

READ = {"up": read_from_client, "down": read_from_server}


@pytest.fixture(scope="module")
def exchange() -> Exchange:
    return Exchange(toy())


def test_every_flipped_bit_is_noticed(exchange: Exchange) -> None:
    for way in WAYS:
        for message in exchange.messages[way]:
            for bit in range(8 * len(message)):
                with pytest.raises(ConnectionLost, match="do not fit their checksum"):
                    READ[way](flip(message, bit))


def everywhere(exchange: Exchange, spoil: Callable[[int], Callable[[bytes, int], bytes | None]], stride: int) -> None:
    """Spoil the exchange at one byte in `stride`, and expect the right text without an error."""
    for way in WAYS:
        for place in range(0, exchange.size(way), stride):
            places = Places(way, place, spoil(place % 8))
            assert exchange.run(places) == exchange.wanted, (way, place)
            assert places.count > place


SOME = [pytest.param(37, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)]


@pytest.mark.parametrize("stride", SOME)
def test_after_a_flipped_bit_the_text_is_the_target_s(exchange: Exchange, stride: int) -> None:
    everywhere(exchange, lambda bit: lambda message, place: flip(message, 8 * place + bit), stride)


@pytest.mark.parametrize("stride", SOME)
def test_a_line_may_be_cut_at_every_byte(exchange: Exchange, stride: int) -> None:
    everywhere(exchange, lambda bit: lambda message, place: None, stride)


@pytest.mark.parametrize("stride", [pytest.param(29, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)])
def test_a_peer_that_is_wrong_itself_changes_no_text(exchange: Exchange, stride: int) -> None:
    """Bits are flipped before the checksum is made: hashes of the text protect it, and features cost acceptance alone.

    What a session is, in Open and Welcome, one side alone knows: there the checksum is all there is.
    """
    outcomes = set[type | None]()
    for way in WAYS:
        start = 0
        for message in exchange.messages[way]:
            if isinstance(READ[way](message), Opened | Verify | Verified | Read):
                for byte in range(0, len(message) - 4, stride):
                    bit = (start + byte) % 8
                    changed = Places(way, start + byte, lambda data, place, b=bit: seal(flip(data[:-4], 8 * place + b)))  # type: ignore[misc]
                    outcomes.add(outcome(exchange, changed))
            start += len(message)
    assert None in outcomes


def outcome(exchange: Exchange, changed: Places) -> type | None:
    """What error there was, if there was one; else the text is right."""
    try:
        assert exchange.run(changed) == exchange.wanted, changed
    except SpecdecError as error:
        return type(error)
    return None
