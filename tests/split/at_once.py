"""One end of a transport in the hands of three threads, as a host uses it."""

from collections.abc import Callable
from threading import Event, Thread

import pytest

from specdec import Transport
from specdec.errors import ConnectionLost


def check_at_once(factory: Callable[[], tuple[Transport, Transport]]) -> None:
    """Send and receive at once, then close the end on which another thread waits."""
    near, far = factory()
    received, last, heard = list[bytes](), Event(), Event()
    messages = [str(number).encode() * 1000 for number in range(100)]

    def receive() -> None:
        received.extend(near.receive() for _ in messages)
        last.set()
        with pytest.raises(ConnectionLost):
            near.receive()
        heard.set()

    def send(end: Transport) -> None:
        for message in messages:
            end.send(message)

    threads = [Thread(target=receive), *(Thread(target=send, args=[end]) for end in (near, far))]
    for thread in threads:
        thread.start()
    assert [far.receive(20.0) for _ in messages] == messages
    assert last.wait(20.0)
    near.close()
    assert heard.wait(20.0)
    for thread in threads:
        thread.join()
    far.close()

    assert received == messages
