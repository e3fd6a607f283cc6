"""The drafter's side of a split: messages in, messages out, without connections, clocks or threads."""

from collections import deque
from math import inf

from attrs import define, field
from msgspec.structs import replace

from specdec import errors
from specdec.errors import ConnectionLost, ProtocolError, SpecdecError
from specdec.split import messages as wire
from specdec.split.text import RemoteText
from specdec.tree import Tree

ERRORS: dict[wire.Code, type[SpecdecError]] = {
    wire.Code.TREE: errors.TreeError,
    wire.Code.PROMPT: errors.PromptError,
    wire.Code.OPTION: errors.OptionError,
    wire.Code.MODEL: errors.ModelError,
    wire.Code.INTERNAL: errors.ModelError,
}
"""Refusals that are raised to the caller, because asking again would not help."""


@define(eq=False)
class Client:
    """Keeps any number of texts, has their trees verified, and reopens those that the server has forgotten.

    `outbox` has the messages to be sent on the current line.
    """

    texts: dict[bytes, RemoteText] = field(factory=dict, init=False)
    outbox: deque[bytes] = field(factory=deque, init=False)
    up: bool = field(default=False, init=False)
    turned_away: str = field(default="", init=False)
    """Why the server asked to be asked later, until `Link` hears otherwise."""
    welcome: wire.Welcome | None = field(default=None, init=False)
    error: SpecdecError | None = field(default=None, init=False)
    """Why the server cannot be used at all."""

    def begin(self) -> None:
        """Begin on a new line: send all that the server needs to continue, without waiting for an answer."""
        self.up = True
        self._send(wire.Hello(wire.VERSION, wire.VERSION))
        for text in self.texts.values():
            self._open(text)

    def end(self) -> None:
        """Take note that the line has ended; what still matters is sent again on the next one."""
        self.up = False
        self.outbox.clear()

    def join(self, text: RemoteText) -> None:
        """Open a text."""
        self.texts[text.sid] = text
        self._open(text)

    def ask(self, text: RemoteText, tree: Tree, deadline: float) -> None:
        """Have a tree verified, in place of one that waits, unless the text already has an answer to be taken."""
        if not text.answered:
            text.ask(tree, deadline)
            self._verify(text)

    def leave(self, text: RemoteText) -> None:
        """Close a text; if the message is lost, the server drops the session once it has been idle."""
        if self.texts.get(text.sid) is text:  # else a later text has the same id, from the same journal
            del self.texts[text.sid]
            self._send(wire.Close(text.sid, text.epoch))

    def remind(self, now: float) -> None:
        """Repeat the requests that were turned away and are due again."""
        for text in self.texts.values():
            if text.retry is not None and text.retry <= now:
                text.retry = None
                (self._verify if text.opened else self._open)(text)

    @property
    def reminder(self) -> float:
        """When `remind` is due next, on the caller's clock."""
        return min((text.retry for text in self.texts.values() if text.retry is not None), default=inf)

    def receive(self, data: bytes, now: float) -> bool:
        """Take in a message, ignoring a late one; say whether the server makes progress, as a greeting alone does not.

        Raises:
            ProtocolError: it is not a valid message of a server's.
            ConnectionLost: the server is shutting down, or the line corrupts messages.
        """
        message = wire.read_from_server(data)
        if isinstance(message, wire.Welcome):
            self.welcome = message
        elif isinstance(message, wire.GoAway):
            raise ConnectionLost("the server is shutting down; another may take its place")
        elif isinstance(message, wire.Refused) and message.code in (wire.Code.CORRUPT, wire.Code.DRAINING):
            raise ConnectionLost(f"{message.code}: {message.detail}; a new line may work")
        elif isinstance(message, wire.Refused) and message.code in (wire.Code.VERSION, wire.Code.PROTOCOL):
            self.error = ProtocolError(f"the server refused what was sent: {message.detail}")
        elif (text := self.texts.get(message.sid)) is None:
            return True
        elif isinstance(message, wire.Opened):
            text.opened = text.opened or message.epoch == text.epoch
        elif isinstance(message, wire.Verified):
            if self.current(text, message) and not text.take_answer(message):
                self._open(text)
        elif isinstance(message, wire.Read):
            if message.epoch == text.epoch:
                text.learn(message.start, message.features)
        else:
            self._refused(text, message, now)
        return isinstance(message, wire.Verified | wire.Read)

    def current(self, text: RemoteText, message: wire.Verified) -> bool:
        """Say whether an answer is the one expected next, neither late nor a duplicate."""
        expected = text.asked is not None or text.burst > 0
        return expected and (message.epoch, message.base) == (text.epoch, text.base)

    def _refused(self, text: RemoteText, refusal: wire.Refused, now: float) -> None:
        """React to a refusal: wait, open the text again, or give up."""
        if refusal.code is wire.Code.STALE:
            if refusal.epoch >= text.epoch:
                text.opening = replace(text.opening, epoch=refusal.epoch)
                self._open(text)
        elif refusal.epoch != text.epoch:
            return
        elif refusal.code in ERRORS:
            text.error = ERRORS[refusal.code](refusal.detail)
        elif refusal.code in (wire.Code.OVERLOADED, wire.Code.EXPIRED):
            text.retry, self.turned_away = now + max(refusal.retry_ms, 1) / 1000, f"{refusal.code}: {refusal.detail}"
        elif text.opened:  # else the answer to `Open` decides
            self._open(text)

    def _open(self, text: RemoteText) -> None:
        opening = text.open()
        if self._outgrown(text):
            return
        self._send(opening)
        if text.asked is not None:
            self._verify(text)

    def _outgrown(self, text: RemoteText) -> bool:
        """Say whether a text has become too long for the server to read it again, which is an error of its own."""
        most, size = self.welcome.most_bytes if self.welcome else inf, len(wire.encode(text.opening))
        if size > most:
            text.error = errors.PromptError(
                f"expected a text that fits the server's messages of {most} bytes, to open its session again; got "
                f"{len(text.opening.tokens) // 4} tokens and {size} bytes; `--limit message_bytes=N` allows more"
            )
        return size > most

    def _verify(self, text: RemoteText) -> None:
        if text.asked is not None and not (self.up and not text.opened and self._outgrown(text)):
            text.asked = replace(text.asked, epoch=text.epoch)
            self._send(text.asked)

    def _send(self, message: wire.Message) -> None:
        if self.up:
            self.outbox.append(wire.encode(message))
