"""What a server keeps of a session."""

from collections import deque
from collections.abc import Callable

from attrs import define, field
from msgspec.structs import replace

from specdec.features import Features
from specdec.split.messages import Open, Verified, Verify
from specdec.split.prefix_hash import PrefixHash
from specdec.target.decisions import Session
from specdec.tree import Tree

Key = tuple[str, bytes]
"""A tenant, and the id of one of its sessions."""


@define(eq=False)
class Connection:
    """The server's end of a client's line; `send` takes messages to the client, `greeted` is set by its `Hello`."""

    send: Callable[[bytes], None]
    tenant: str
    greeted: bool = False


@define(eq=False)
class Waiting:
    """A tree that waits for the next pass, `until` its deadline; `burst` if the server made it, not the client."""

    message: Verify
    tree: Tree
    burst: bool = False
    until: float = 0.0

    def begin(self, now: float) -> None:
        """Start the time limit."""
        self.until = now + self.message.deadline_ms / 1000


@define(eq=False)
class Record:
    """One text: its session on the engine, its newest line, and the answers that may have to be sent again.

    Features of the prompt are collected while it is `read`, then sent from the `backlog`, the last tokens' first.
    """

    session: Session
    opened: Open
    connection: Connection | None
    hash: PrefixHash
    used: float
    waiting: Waiting | None = None
    answers: list[Verified] = field(factory=list)
    """The answers to the client's last tree, and those of its burst."""
    asked: int = 0
    read: list[tuple[int, Features]] = field(factory=list)
    backlog: deque[tuple[int, Features]] = field(factory=deque)
    sent: list[tuple[int, Features]] = field(factory=list)
    """Parts that were sent; the first `arrived` of them came before the last answer, which the client may confirm."""
    arrived: int = 0

    @property
    def epoch(self) -> int:
        """How often the client has opened it; messages of older epochs are refused."""
        return self.opened.epoch

    @property
    def base(self) -> int:
        """The number of decided tokens."""
        return len(self.session.prefix.tokens)

    def since(self, base: int) -> list[Verified]:
        """List the answers from the one for this base on; none if there is no such answer."""
        known = any(answer.base == base for answer in self.answers)
        return [answer for answer in self.answers if known and answer.base >= base]

    def wait(self, message: Verify, tree: Tree, now: float, *, burst: bool = False) -> None:
        """Have a tree wait; if the client knows the whole text, the parts sent before the last answer have arrived."""
        if message.base == self.base and not burst:
            del self.sent[: self.arrived]
            self.arrived = 0
        self.asked = self.asked if burst else message.base
        message = replace(message, base=self.base, prefix=self.hash.digest)
        self.used, self.waiting = now, Waiting(message, tree, burst)
        self.waiting.begin(now)

    def answer(self, message: Verified, now: float) -> None:
        """Keep an answer; the client has all those before the base that it asked for last."""
        self.answers = [one for one in self.answers if one.base >= self.asked] + [message]
        self.waiting, self.arrived, self.used = None, len(self.sent), now

    def move(self, connection: Connection, opened: Open, now: float) -> None:
        """Continue on a new line, and send again what may have been lost with the old one."""
        if connection is not self.connection:
            self.backlog.extendleft(reversed(self.sent))
            self.sent, self.arrived = [], 0
        self.opened, self.connection, self.used = opened, connection, now

    @property
    def first_wanted(self) -> int:
        """The index of the first token whose features the client wants."""
        window = 1 if self.session.needs.only_last else self.opened.window
        return 0 if window is None else max(self.base - 1 - window, 0)

    @property
    def busy(self) -> bool:
        """Whether it has a tree or unread tokens waiting for a turn."""
        return self.waiting is not None or bool(self.session.unread)
