"""The target's side of a split: messages in, messages out, without connections or threads; the clock is given."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from attrs import define, field
from msgspec.structs import replace

from specdec.errors import ConnectionLost, OptionError, ProtocolError, TreeError
from specdec.features import Encoder, Needs
from specdec.interfaces import Drafter
from specdec.portable_sampling import unpack_sampling
from specdec.split import messages as wire
from specdec.split.codecs import CODECS
from specdec.split.limits import Limits
from specdec.split.prefix_hash import PrefixHash
from specdec.split.reasons import reason
from specdec.split.record import Connection, Record
from specdec.split.store import Store
from specdec.split.trees import unpack_tree
from specdec.split.turn import take_turn
from specdec.target.checks import check_tree
from specdec.target.sessions import CHUNK, Sessions
from specdec.target.verifier import Target
from specdec.target.weights import weights_hash
from specdec.vocabulary import vocabulary_hash


@define(eq=False)
class Server:
    """Serves sessions of any number of clients on one target.

    `receive` takes in a message and never raises, whatever is in it; `tick` makes one pass over the waiting trees and
    one over a chunk of the prompts. `encoders` are the server's own, by digest; a client only names one. Sessions are a
    cache and may be dropped at any time, because the clients keep their tokens.

    Raises:
        OptionError: the target's rule is not `match`.
    """

    sessions: Sessions
    clock: Callable[[], float]
    encoders: dict[str, Encoder] = field(factory=dict)
    end_tokens: tuple[int, ...] = ()
    tokenizer_hash: str = ""
    target_hash: str = ""
    """Hashes of the target's vocabulary and of its weights."""
    limits: Limits = field(factory=Limits)
    chunk: int = CHUNK
    store: Store = field(init=False)
    connections: dict[Connection, None] = field(factory=dict, init=False)
    draining: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.store = Store(self.sessions, self.limits)
        if not self.sessions.rule.repeatable:
            raise OptionError(f"expected the rule match, the text of which no tree changes, got {self.sessions.rule!r}")

    @classmethod
    def of(cls, target: Target, drafters: Iterable[Drafter] = (), **options: Any) -> "Server":
        """Serve a target, and the encoders of drafters made for it."""
        needed = [drafter.needs.encoder for drafter in drafters]
        encoders = {encoder.digest: encoder for encoder in needed if encoder is not None and encoder.digest}
        vocabulary = "" if target.tokenizer is None else vocabulary_hash(target.tokenizer)
        hashes = {"tokenizer_hash": vocabulary, "target_hash": weights_hash(target.model)}
        options = {"clock": time.monotonic, **hashes, **options}
        return cls(target.sessions, encoders=encoders, end_tokens=target.end_tokens, **options)

    def connect(self, connection: Connection) -> None:
        """Register a new line."""
        self.connections[connection] = None

    def disconnect(self, connection: Connection) -> None:
        """Forget a line; its sessions stay for the client's return."""
        self.connections.pop(connection, None)

    def receive(self, connection: Connection, data: bytes) -> None:
        """Take in one message; an invalid one is refused, and changes nothing."""
        try:
            if len(data) > self.limits.message_bytes:
                raise ProtocolError(f"expected at most {self.limits.message_bytes} bytes, got {len(data)}")
            message = wire.read_from_client(data)
            if not isinstance(message, wire.Hello) and not connection.greeted:
                raise ProtocolError(f"expected Hello first, got {type(message).__name__}")
            self._take(connection, message)
        except (ProtocolError, ConnectionLost) as error:
            code = wire.Code.PROTOCOL if isinstance(error, ProtocolError) else wire.Code.CORRUPT
            self.send(connection, wire.Refused(code, str(error)))

    def tick(self) -> bool:
        """Take one turn; say whether there was any work."""
        return take_turn(self)

    def drain(self, grace: float) -> None:
        """Accept nothing new from now on; what waits is still done. `grace`, in seconds, is told to clients."""
        self.draining = True
        for connection in self.connections:
            self.send(connection, wire.GoAway(round(1000 * grace)))

    @property
    def busy(self) -> bool:
        """Whether work waits for the next turn."""
        return any(one.busy or (one.backlog and one.connection in self.connections) for one in self.store)

    def send(self, connection: Connection | None, message: wire.Message) -> None:
        """Send a message, if its line is still there."""
        if connection is not None and connection in self.connections:
            connection.send(wire.encode(message))

    def _take(self, connection: Connection, message: wire.Hello | wire.Open | wire.Verify | wire.Close) -> None:
        if isinstance(message, wire.Hello):
            self._greet(connection, message)
            return
        record = self.store.records.get((connection.tenant, message.sid))
        if record is not None and self.stale(record, connection, message.epoch):
            about = "a newer line has this session", message.sid, record.epoch
            self.send(connection, wire.Refused(wire.Code.STALE, *about))
        elif isinstance(message, wire.Open):
            self._open(connection, message, record)
        elif isinstance(message, wire.Verify):
            self._verify(connection, message, record)
        elif record is not None:
            self.store.forget([(connection.tenant, message.sid)])

    def _greet(self, connection: Connection, hello: wire.Hello) -> None:
        if not hello.oldest <= wire.VERSION <= hello.newest:
            detail = f"expected version {wire.VERSION}, got {hello.oldest} to {hello.newest}"
            self.send(connection, wire.Refused(wire.Code.VERSION, detail))
            return
        connection.greeted, engine, limits = True, self.sessions.engine, self.limits
        sizes = engine.vocab_size, engine.max_length, engine.length_advice, self.end_tokens, self.tokenizer_hash
        most = limits.nodes, limits.message_bytes
        self.send(connection, wire.Welcome(wire.VERSION, CODECS, *sizes, tuple(self.encoders), *most, self.target_hash))

    def _open(self, connection: Connection, message: wire.Open, record: Record | None) -> None:
        """Open a session, or continue one that is at the client's text or at an answer that the client lacks."""
        tokens = wire.unpack_tokens(message.tokens)
        warm = record is not None and (record.epoch == message.epoch or _continues(record, message, tokens))
        if record is None or not warm:
            if not self._join(connection, message, tokens):
                return
        elif message.epoch != record.epoch:  # else it is a repetition
            record.move(connection, message, self.clock())
        self.send(connection, wire.Opened(message.sid, message.epoch, warm))

    def _join(self, connection: Connection, message: wire.Open, tokens: list[int]) -> bool:
        """Open a session in place of one of the same id; say whether that succeeded.

        All is checked first, for room is made at the cost of other sessions.
        """
        if self.draining:
            self._turn_away(connection, message)
            return False
        key = connection.tenant, message.sid
        try:
            sampling, needs = unpack_sampling(message.sampling, message.processors), self._needs(message)
            self.sessions.check(tokens, needs)
            self.store.forget([key] if key in self.store.records else [])
            if not self.store.make_room(connection.tenant, len(tokens)):
                self._turn_away(connection, message)
                return False
            session = self.sessions.open(tokens, sampling, needs)
        except Exception as error:
            self.send(connection, wire.Refused(*reason(error), message.sid, message.epoch))
            return False
        self.store.records[key] = Record(session, message, connection, PrefixHash(tokens), self.clock())
        return True

    def _verify(self, connection: Connection, message: wire.Verify, record: Record | None) -> None:
        """Have a tree wait for the next pass, if it is new and follows the decided text."""
        about = message.sid, message.epoch, message.base
        if record is None or message.epoch > record.epoch:
            self.send(connection, wire.Refused(wire.Code.UNKNOWN, "the session is not open", *about))
            return
        answered = record.since(message.base)
        for answer in answered:
            if answer.epoch < record.epoch or not message.burst:  # else it is already on its way
                self.send(connection, replace(answer, epoch=record.epoch))
        record.answers = [replace(answer, epoch=record.epoch) for answer in record.answers]
        if (answered or self.in_flight(record, message)) and not message.burst:
            return
        waiting = self.store.waiting(connection.tenant) - (record.waiting is not None)
        if not answered and not self.follows(record, message):
            self.send(connection, wire.Refused(wire.Code.BASE, f"expected what follows {record.base} tokens", *about))
        elif self.draining or waiting >= self.limits.tenant_waiting:
            self._turn_away(connection, message)
        else:
            self._enqueue(connection, message, record)

    def _enqueue(self, connection: Connection, message: wire.Verify, record: Record) -> None:
        engine = self.sessions.engine
        try:
            tree, decided = unpack_tree(message, self.limits.nodes), record.session.prefix.tokens
            check_tree(tree, decided[: message.base], engine.vocab_size, engine.max_length)
        except (TreeError, ProtocolError) as error:
            self.send(connection, wire.Refused(wire.Code.TREE, str(error), message.sid, message.epoch, message.base))
            return
        message = replace(message, burst=min(message.burst, self.limits.burst))
        record.wait(message, tree.below(decided[message.base :]), self.clock())

    def _turn_away(self, connection: Connection, message: wire.Open | wire.Verify) -> None:
        code, detail = wire.Code.OVERLOADED, "the server is busy; try again later"
        if self.draining:
            code, detail = wire.Code.DRAINING, "the server is stopping"
        about = message.sid, message.epoch, getattr(message, "base", 0), round(1000 * self.limits.retry)
        self.send(connection, wire.Refused(code, detail, *about))

    def _needs(self, message: wire.Open) -> Needs:
        if message.codec not in CODECS:
            raise OptionError(f"expected a codec of {', '.join(CODECS)}, got {message.codec}")
        encoder = self.encoders.get(message.encoder)
        if message.encoder and encoder is None:
            raise OptionError(f"expected an encoder of {', '.join(self.encoders) or 'none'}; got {message.encoder}")
        return Needs(message.hidden_states, message.keys_values, encoder, message.only_last)

    def may_continue(self, record: Record, tokens: Sequence[int]) -> bool:
        """Say whether a session may continue without a tree after these tokens."""
        most, heard = self.sessions.engine.max_length, record.connection in self.connections and not self.draining
        return heard and (most is None or record.base < most) and not {*tokens} & {*self.end_tokens}

    def stale(self, record: Record, connection: Connection, epoch: int) -> bool:
        """Say whether a message has an old epoch, or the current one on a line other than the session's."""
        return epoch < record.epoch or (epoch == record.epoch and connection is not record.connection)

    def in_flight(self, record: Record, message: wire.Verify) -> bool:
        """Say whether this step is waiting already, and so must not be queued again."""
        return record.waiting is not None and record.waiting.message.base == message.base

    def follows(self, record: Record, message: wire.Verify) -> bool:
        """Say whether a tree follows the text as the server has it."""
        return record.base == message.base and record.hash.digest == message.prefix


def _continues(record: Record, message: wire.Open, tokens: list[int]) -> bool:
    """Say whether a session has the options of an `Open`, and its text so far or before one of the kept answers."""
    same = replace(record.opened, epoch=message.epoch, tokens=message.tokens, window=message.window) == message
    decided, lengths = record.session.prefix.tokens, {record.base, *(answer.base for answer in record.answers)}
    return same and len(tokens) in lengths and decided[: len(tokens)] == tokens
