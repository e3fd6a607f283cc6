"""Does a transport carry whole messages, in order, and say what is wrong when it does not?"""

from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from time import monotonic, sleep

from specdec.errors import ConnectionLost, TimedOut
from specdec.interfaces import Transport
from specdec.testing.guards import checking

SIZES = (0, 1, 2, 125, 126, 127, 65_535, 65_536, 1_000_003)
"""Where framings are known to change, and around."""
LARGE = 8 * 2**20
"""Bytes of a message that no pipe takes at once: whoever waits a moment has read a part of it."""
PATIENCE = 20.0
"""Seconds to wait for what must come."""


def check_transport(factory: Callable[[], tuple[Transport, Transport]]) -> None:
    """Send messages over pairs of connected ends, one fresh pair per promise.

    Messages arrive whole and in order, both ways at once, empty and large ones too; waiting ends on time with
    `TimedOut` and leaves the pipe whole; what was sent before an end closed may still arrive, then both ends say
    `ConnectionLost`, and do so again at every call.

    Raises:
        AssertionError: the message says which promise was broken.
    """
    checks = {
        "one way": _check_order,
        "both ways at once": _check_both_ways,
        "nothing to receive": _check_timeout,
        "messages in parts": _check_parts,
        "waiting while the other end closes": _check_waiting,
        "closed ends": _check_closed,
    }
    for what, check in checks.items():
        near, far = factory()
        try:
            with checking(what):
                check(near, far)
        finally:
            near.close()
            far.close()


def _check_order(near: Transport, far: Transport) -> None:
    messages = [bytes([index]) * size for index, size in enumerate(SIZES)]
    _sending(near, messages)
    for message in messages:
        got = far.receive(PATIENCE)
        if got != message:
            raise AssertionError(f"expected the message of {len(message)} bytes, whole and in turn, got {len(got)}")


def _check_both_ways(near: Transport, far: Transport) -> None:
    messages = [str(index).encode() * 1000 for index in range(50)]
    _sending(near, messages)
    _sending(far, messages[::-1])
    if [far.receive(PATIENCE) for _ in messages] != messages:
        raise AssertionError("expected one way's messages in order while the other way was in use")
    if [near.receive(PATIENCE) for _ in messages] != messages[::-1]:
        raise AssertionError("expected the other way's messages in order too")


def _check_timeout(near: Transport, far: Transport) -> None:
    """Patience may be short, or none at all; what comes later still comes."""
    for timeout in (0.0, 0.05):
        began = monotonic()
        if _raised(lambda timeout=timeout: far.receive(timeout)) is not TimedOut:  # type: ignore[misc]
            raise AssertionError(f"expected TimedOut after {timeout} seconds of silence")
        if monotonic() - began > timeout + 2:
            raise AssertionError(f"expected to wait {timeout} seconds, waited {monotonic() - began:.1f}")
    near.send(b"late")
    if far.receive(PATIENCE) != b"late":
        raise AssertionError("expected the pipe to be whole after a timeout")


def _check_parts(near: Transport, far: Transport) -> None:
    """Patience that ends in the middle of a message loses no part of it."""
    messages = [bytes([number]) * LARGE for number in range(3)]
    _sending(near, messages)
    for message in messages:
        got, began = None, monotonic()
        while got is None:
            try:
                got = far.receive(0.0)
            except TimedOut:
                sleep(0.001)  # let some more of it come
                if monotonic() - began > PATIENCE:
                    raise AssertionError(
                        "expected a message that came in parts, between short timeouts; it never came"
                    ) from None
        if got != message:
            raise AssertionError(
                f"expected a message of {len(message)} bytes to arrive whole though waiting ended while it came in, "
                f"got {len(got)} bytes"
            )


def _check_waiting(near: Transport, far: Transport) -> None:
    """Whoever waits without limit hears of the end."""
    heard: list[type[BaseException] | None] = []
    waiting = Thread(target=lambda: heard.append(_raised(far.receive)), daemon=True)
    waiting.start()
    near.close()
    waiting.join(PATIENCE)
    if heard != [ConnectionLost]:
        raise AssertionError(f"expected a waiting end to hear ConnectionLost when the other closes, got {heard}")


def _check_closed(near: Transport, far: Transport) -> None:
    near.close()
    near.close()
    for what, act in (("send", lambda: near.send(b"")), ("receive", lambda: near.receive(0.1))):
        if _raised(act) is not ConnectionLost:
            raise AssertionError(f"expected ConnectionLost from {what} on a closed end")
    for _ in range(2):
        if _raised(lambda: far.receive(PATIENCE)) is not ConnectionLost:
            raise AssertionError("expected ConnectionLost, again and again, when the other end has closed")


def _sending(end: Transport, messages: list[bytes]) -> None:
    """Send from a thread: a pipe may hold back a sender until someone reads."""

    def send() -> None:
        with suppress(ConnectionLost):  # when the check is over
            for message in messages:
                end.send(message)

    Thread(target=send, daemon=True).start()


def _raised(act: Callable[[], object]) -> type[BaseException] | None:
    try:
        act()
    except (TimedOut, ConnectionLost) as error:
        return type(error)
    return None
