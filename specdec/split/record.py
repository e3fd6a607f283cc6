"""What a server knows of a session."""

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
    """The line of a client that was found to be this tenant; `send` takes what goes back, and `Hello` comes first."""

    send: Callable[[bytes], None]
    tenant: str
    greeted: bool = False


@define(eq=False)
class Waiting:
    """A tree that waits for the next pass, until its time is over; of a `burst` if nobody sent it."""

    message: Verify
    tree: Tree
    burst: bool = False
    until: float = 0.0

    def begin(self, now: float) -> None:
        """Begin to wait."""
        self.until = now + self.message.deadline_ms / 1000


@define(eq=False)
class Record:
    """One text: its session on the engine, the line that it came by last, and the answers that it may lack there.

    Features of the prompt are gathered as it is read, and sent part by part, the last tokens first.
    """

    session: Session
    opened: Open
    connection: Connection | None
    hash: PrefixHash
    used: float
    waiting: Waiting | None = None
    answers: list[Verified] = field(factory=list)
    """From the base that the last tree came for: several of a burst."""
    asked: int = 0
    read: list[tuple[int, Features]] = field(factory=list)
    backlog: deque[tuple[int, Features]] = field(factory=deque)
    sent: list[tuple[int, Features]] = field(factory=list)
    """Parts that were sent, and of which `arrived` will have arrived once the last answer has."""
    arrived: int = 0

    @property
    def epoch(self) -> int:
        """How often the client has opened it: what comes by an older line counts for nothing."""
        return self.opened.epoch

    @property
    def base(self) -> int:
        """How many tokens are decided."""
        return len(self.session.prefix.tokens)

    def since(self, base: int) -> list[Verified]:
        """List the answers from this base on; none if there was none for it."""
        known = any(answer.base == base for answer in self.answers)
        return [answer for answer in self.answers if known and answer.base >= base]

    def wait(self, message: Verify, tree: Tree, now: float, *, burst: bool = False) -> None:
        """Have a tree wait that follows the text as it is now; with the last answer arrived what was sent before."""
        if message.base == self.base and not burst:
            del self.sent[: self.arrived]
            self.arrived = 0
        self.asked = self.asked if burst else message.base
        message = replace(message, base=self.base, prefix=self.hash.digest)
        self.used, self.waiting = now, Waiting(message, tree, burst)
        self.waiting.begin(now)

    def answer(self, message: Verified, now: float) -> None:
        """Note an answer; those before what was asked last have arrived."""
        self.answers = [one for one in self.answers if one.base >= self.asked] + [message]
        self.waiting, self.arrived, self.used = None, len(self.sent), now

    def move(self, connection: Connection, opened: Open, now: float) -> None:
        """Continue on a new line; what may have been lost with the old one is sent again."""
        if connection is not self.connection:
            self.backlog.extendleft(reversed(self.sent))
            self.sent, self.arrived = [], 0
        self.opened, self.connection, self.used = opened, connection, now

    @property
    def first_wanted(self) -> int:
        """The first token of the prompt whose features the client wants."""
        window = 1 if self.session.needs.only_last else self.opened.window
        return 0 if window is None else max(self.base - 1 - window, 0)

    @property
    def busy(self) -> bool:
        """Whether work waits."""
        return self.waiting is not None or bool(self.session.unread)
