"""Servers that are of no use: another target, no room, an encoder that fails."""

import gc

import pytest
import torch

from specdec import Decoder, Encoder, Features, Needs, Stop, Target, Transport
from specdec.drafters import NoDrafter
from specdec.errors import ModelError, TimedOut, VocabularyMismatch
from specdec.remote import Failover, Remote
from specdec.split import Server
from specdec.split.store import Store
from tests.remote.hosts import Lines, toy
from tests.toys import build


def test_a_server_with_other_weights_in_the_place_of_the_first_is_an_error() -> None:
    """Its tokens are the same, and its text would be another."""
    first = Lines(Server.of(toy()))
    remote = Remote(first.connect, patience=1.0, clock=first.clock, sleep=first.sleep)
    stream = Decoder(NoDrafter(), Failover(remote)).stream([[1, 2, 3]], stop=Stop(max_tokens=20))
    next(stream)
    first.server = Server.of(Target(build("llama", dtype=torch.float64, seed=2, initializer_range=0.3)))
    first.cut(0.2)

    with pytest.raises(VocabularyMismatch, match="to be the one that it was"):
        list(stream)


def test_a_server_that_never_has_room_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines(Server.of(toy()))
    remote = Remote(lines.connect, patience=1.0, clock=lines.clock, sleep=lines.sleep)
    monkeypatch.setattr(Store, "make_room", lambda store, tenant, tokens: False)

    with pytest.raises(TimedOut, match="overloaded"):
        Decoder(NoDrafter(), remote).generate([[1, 2, 3]], stop=Stop(max_tokens=4))


def test_an_encoder_that_fails_ends_its_own_session_alone() -> None:
    class Broken(Encoder):
        digest = "broken"  # type: ignore[assignment]

        def encode(self, features: Features) -> torch.Tensor:
            raise ArithmeticError("no")

    class Reading(NoDrafter):
        needs = Needs(hidden_states=(-1,), encoder=Broken())

    lines = Lines(Server.of(toy(), [Reading()]))
    remote = Remote(lines.connect, patience=1.0, clock=lines.clock, sleep=lines.sleep)
    with pytest.raises(ModelError, match="ArithmeticError"):
        Decoder(Reading(), remote).generate([[1, 2, 3]], stop=Stop(max_tokens=4))
    assert len(Decoder(NoDrafter(), remote).generate([[1, 2, 3]], stop=Stop(max_tokens=4)).tokens[0]) == 4


def test_a_transport_that_breaks_in_its_own_words_is_broken_all_the_same() -> None:
    class Rude(Lines):
        def connect(self) -> Transport:
            raise OSError("no route")

    lines = Rude(Server.of(toy()))
    with pytest.raises(TimedOut, match="OSError: no route"):
        Remote(lines.connect, patience=1.0, clock=lines.clock, sleep=lines.sleep)


def test_a_client_that_is_dropped_ends_its_line() -> None:
    lines = Lines(Server.of(toy()))
    remote = Remote(lines.connect, patience=1.0, clock=lines.clock, sleep=lines.sleep)
    assert len(lines.server.connections) == 1

    del remote
    gc.collect()

    assert len(lines.server.connections) == 0
