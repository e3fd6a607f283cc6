"""The line to a server: made, and made again when it breaks."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from random import Random
from threading import RLock
from typing import Any

from attrs import define, field

from specdec.errors import ConnectionLost, ProtocolError, SpecdecError, TimedOut, TransportError, VocabularyMismatch
from specdec.interfaces import Transport
from specdec.split.client import Client
from specdec.split.messages import Welcome
from specdec.split.text import RemoteText
from specdec.tree import Tree

Connect = Callable[[], Transport]
"""Makes a new line to the server, at once.

Raises:
    ConnectionLost: there is none now.
"""
SOONEST, LATEST = 0.05, 5.0
"""Seconds between attempts to connect: twice as many after each that fails, and by chance up to half as many less."""


@define(eq=False)
class Link:
    """Carries a client's messages, of one thread at a time; `sleep` waits where there is nothing to receive."""

    connect: Connect
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    random: Random = field(factory=Random)
    client: Client = field(factory=Client, init=False)
    lock: Any = field(factory=RLock, init=False)
    abandoned: deque[list[RemoteText | None]] = field(factory=deque, init=False)
    """Batches of views that were dropped before their end; a garbage collector adds them at any time."""
    broken: TransportError | None = field(default=None, init=False)
    """What went wrong last."""
    heard: bool = field(default=True, init=False)
    """Whether the server has said something since the line broke last."""
    _transport: Transport | None = field(default=None, init=False)
    _alive: bool = field(default=False, init=False)
    _failures: int = field(default=0, init=False)
    _earliest: float = field(default=0.0, init=False)

    def join(self, text: RemoteText) -> None:
        """Open a text."""
        with self.lock:
            self.client.join(text)

    def ask(self, text: RemoteText, tree: Tree, deadline: float) -> None:
        """Have a tree of it verified, within so many seconds."""
        with self.lock:
            self.client.ask(text, tree, deadline)

    def leave(self, text: RemoteText) -> None:
        """Close it."""
        with self.lock:
            self.client.leave(text)

    def until(self, done: Callable[[], bool], patience: float) -> None:
        """Send and receive until something is done.

        Raises:
            TimedOut: no answer or part of one came for `patience` seconds; the line is taken to be dead.
            ProtocolError: the server does not speak this version, or takes no such message.
            VocabularyMismatch: there is now another target than there was.
        """
        with self.lock:
            self._earliest = self.clock()  # who waits is worth an attempt at once
            deadline = self._earliest + patience
            while not done():
                now = self.clock()
                if now >= deadline:
                    self.heard = False
                    self.drop()
                    reason = self.client.turned_away or self.broken or "nothing came"
                    raise TimedOut(f"expected an answer within {patience:g} seconds, got none: {reason}")
                if self._transport is None and self._earliest > now:
                    self.sleep(min(self._earliest, deadline) - now)
                elif self._exchange(min(deadline, self.client.reminder) - now) and self._alive:
                    deadline = self.clock() + patience

    def poll(self) -> None:
        """Send and receive without waiting, and connect if there is no line and it is time to try again."""
        with self.lock:
            if self._transport is not None or self._earliest <= self.clock():
                while self._exchange(0.0):
                    pass

    @property
    def up(self) -> bool:
        """Whether there is a line, as far as is known."""
        return self._transport is not None

    def flush(self) -> None:
        """Send what is to be sent, if there is a line."""
        with self.lock:
            self._leave_abandoned()
            try:
                while self._transport is not None and self.client.outbox:
                    self._transport.send(self.client.outbox.popleft())
            except ConnectionLost as error:
                self._break(error)

    def __del__(self) -> None:
        self.drop()  # so that the server hears of a client that was dropped

    def drop(self) -> None:
        """Give up the line; another is made when it is needed."""
        if self._transport is not None:
            transport, self._transport = self._transport, None
            self.client.end()
            with suppress(ConnectionLost):
                transport.close()

    def _exchange(self, patience: float) -> bool:
        """Send what is to be sent, and receive one message if one comes in time; say whether one came."""
        known = self.client.welcome
        self._leave_abandoned()
        try:
            transport = self._line()
            self.client.remind(self.clock())
            while self.client.outbox:
                transport.send(self.client.outbox.popleft())
            self._alive = self.client.receive(transport.receive(max(patience, 0.0)), self.clock())
        except TimedOut:
            return False
        except (ConnectionLost, ProtocolError) as error:
            self._break(error)
            return False
        except OSError as error:  # of a transport that does not say it in our words
            self._break(ConnectionLost(f"{type(error).__name__}: {error}"))
            return False
        if (unfit := self._unfit(known)) is not None:
            self.client.error, self.client.welcome = None, known
            self.drop()
            raise unfit
        self.heard = True
        if self._alive:
            self._failures = 0
        return True

    def _leave_abandoned(self) -> None:
        while self.abandoned:
            for text in filter(None, self.abandoned.popleft()):
                self.client.leave(text)

    def _unfit(self, known: Welcome | None) -> SpecdecError | None:
        """Say why the server is of no use: it said so itself, or has another target than the one before."""
        new = self.client.welcome
        if known is None or new is None or _identity(new) == _identity(known):
            return self.client.error
        return VocabularyMismatch(
            f"expected the server's target to be the one that it was, {_identity(known)}; got {_identity(new)}"
        )

    def _line(self) -> Transport:
        if self._transport is None:
            self._transport = self.connect()
            self.client.begin()
        return self._transport

    def _break(self, error: TransportError) -> None:
        """Drop the line, and say when to try again."""
        self.broken, self.heard = error, False
        self.drop()
        pause = min(SOONEST * 2**self._failures, LATEST)
        self._failures += 1
        self._earliest = self.clock() + pause * (1 - self.random.random() / 2)


def _identity(welcome: Welcome) -> tuple[int, str, str]:
    """Vocabulary size, and the hashes of vocabulary and weights."""
    return welcome.vocab_size, welcome.tokenizer, welcome.target
