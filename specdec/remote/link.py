"""The line to a server, which is made again when it breaks."""

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
"""Makes a new line to the server.

Raises:
    ConnectionLost: that is not possible now.
"""
SOONEST, LATEST = 0.05, 5.0
"""Seconds between attempts to connect: exponential backoff, each shortened by up to half at random."""


@define(eq=False)
class Link:
    """Carries a client's messages; `clock` and `sleep` are in seconds.

    Its methods may be called from any thread, and run one at a time: while `until` waits, all others do.
    """

    connect: Connect
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    random: Random = field(factory=Random)
    client: Client = field(factory=Client, init=False)
    lock: Any = field(factory=RLock, init=False)
    abandoned: deque[list[RemoteText | None]] = field(factory=deque, init=False)
    """Batches of views that were garbage-collected before their end; may grow at any time."""
    broken: TransportError | None = field(default=None, init=False)
    """The last error of the line, unless the server has made progress since."""
    heard: bool = field(default=True, init=False)
    """Whether the server has sent anything since the line last broke."""
    _transport: Transport | None = field(default=None, init=False)
    _alive: bool = field(default=False, init=False)
    _failures: int = field(default=0, init=False)
    _earliest: float = field(default=0.0, init=False)

    def join(self, text: RemoteText) -> None:
        """Open a text."""
        with self.lock:
            self.client.join(text)

    def ask(self, text: RemoteText, tree: Tree, deadline: float) -> None:
        """Have a tree of a text verified, within `deadline` seconds."""
        with self.lock:
            self.client.ask(text, tree, deadline)

    def leave(self, text: RemoteText) -> None:
        """Close a text."""
        with self.lock:
            self.client.leave(text)

    def until(self, done: Callable[[], bool], patience: float) -> None:
        """Send and receive until `done()`.

        Raises:
            TimedOut: nothing came for `patience` seconds; the line is assumed to be dead.
            ProtocolError: the server does not speak this version, or refuses the messages.
            VocabularyMismatch: the server's target is not the one of before.
        """
        with self.lock:
            self._earliest = self.clock()  # a caller that waits skips the backoff once
            deadline = self._earliest + patience
            while not done():
                now = self.clock()
                if now >= deadline:
                    self.heard = False
                    self.drop()
                    raise TimedOut(f"expected an answer within {patience:g} seconds, got none: {self.trouble}")
                if self._transport is None and self._earliest > now:
                    self.sleep(min(self._earliest, deadline) - now)
                elif self._exchange(min(deadline, self.client.reminder) - now) and self._alive:
                    deadline = self.clock() + patience

    def poll(self) -> None:
        """Send and receive without waiting; connect if there is no line and the backoff is over."""
        with self.lock:
            if self._transport is not None or self._earliest <= self.clock():
                while self._exchange(0.0):
                    pass

    @property
    def trouble(self) -> str:
        """What went wrong last, since the server last made progress."""
        return self.client.turned_away or str(self.broken or "nothing came")

    @property
    def up(self) -> bool:
        """Whether there is a line that is not known to be broken."""
        return self._transport is not None

    def flush(self) -> None:
        """Send what is in the outbox, if there is a line."""
        with self.lock:
            self._leave_abandoned()
            try:
                if self._transport is not None:
                    self._send(self._transport)
            except (ConnectionLost, OSError) as error:
                self._break(error)

    def __del__(self) -> None:
        self.drop()  # so that the server notices

    def drop(self) -> None:
        """Close the line; another is made when it is needed."""
        with self.lock:
            if self._transport is not None:
                transport, self._transport = self._transport, None
                self.client.end()
                with suppress(ConnectionLost, OSError):
                    transport.close()

    def _exchange(self, patience: float) -> bool:
        """Send what is in the outbox and receive one message within `patience` seconds; say whether one came."""
        known = self.client.welcome
        self._leave_abandoned()
        try:
            transport = self._line()
            self.client.remind(self.clock())
            self._send(transport)
            self._alive = self.client.receive(transport.receive(max(patience, 0.0)), self.clock())
        except TimedOut:
            return False
        except (ConnectionLost, ProtocolError, OSError) as error:
            self._break(error)
            return False
        if (unfit := self._unfit(known)) is not None:
            self.client.error, self.client.welcome = None, known
            self.drop()
            raise unfit
        self.heard = True
        if self._alive:
            self._failures, self.broken, self.client.turned_away = 0, None, ""
        return True

    def _send(self, transport: Transport) -> None:
        while self.client.outbox:
            transport.send(self.client.outbox.popleft())

    def _leave_abandoned(self) -> None:
        while self.abandoned:
            for text in filter(None, self.abandoned.popleft()):
                self.client.leave(text)

    def _unfit(self, known: Welcome | None) -> SpecdecError | None:
        """The reason not to use this server: it refused, or its target is not the one of before."""
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

    def _break(self, error: TransportError | OSError) -> None:
        """Close the line, and set the time of the next attempt."""
        if isinstance(error, OSError):  # of a transport that does not translate its errors
            error = ConnectionLost(f"{type(error).__name__}: {error}")
        self.broken, self.heard, self.client.turned_away = error, False, ""
        self.drop()
        pause = min(SOONEST * 2**self._failures, LATEST)
        self._failures += 1
        self._earliest = self.clock() + pause * (1 - self.random.random() / 2)


def _identity(welcome: Welcome) -> tuple[int, str, str]:
    """Vocabulary size, and the hashes of vocabulary and weights."""
    return welcome.vocab_size, welcome.tokenizer_hash, welcome.target_hash
