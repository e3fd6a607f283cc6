"""A target on a server decides what it decides on this machine."""

import gc

from specdec import Decoder, Stop, Target
from specdec.drafters import NoDrafter
from specdec.remote import Remote
from specdec.testing import check_verifier
from tests.remote.hosts import hosting, toy


def test_it_is_a_verifier() -> None:
    target = toy()
    with hosting(Target(target.model)) as host:
        check_verifier(lambda: Remote(host.connect), examples=10)


def test_a_stream_that_is_dropped_leaves_the_server() -> None:
    with hosting(toy()) as host:
        remote = Remote(host.connect)
        decoder = Decoder(NoDrafter(), remote)
        next(iter(decoder.stream([[1, 2]], stop=Stop(max_tokens=20))))
        gc.collect()
        decoder.generate([[3, 4]], stop=Stop(max_tokens=2))
        texts = [*remote.link.client.texts]
        decoder.close()

    assert texts == []
