"""A server's turn: a pass over the waiting trees, one over a chunk of the prompts, and features of prompts."""

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from msgspec.structs import replace

from specdec.features import Features
from specdec.split.codecs import encode_features, token_bytes
from specdec.split.messages import Code, Read, Refused, Verified, pack_tokens
from specdec.split.reasons import reason
from specdec.split.record import Record, Waiting
from specdec.target.decisions import Decision
from specdec.tree import Tree

if TYPE_CHECKING:
    from specdec.split.server import Server

PART = 2**15
"""Approximate bytes of a prompt's features in one message; larger ones would delay answers on a slow line."""


def take_turn(server: "Server") -> bool:
    """Take one turn; say whether there was any work."""
    now = server.clock()
    verified, read = _verify(server, now), _read(server, [one for one in server.store if one.session.unread])
    sent = [_send_backlog(server, record) for record in server.store]
    server.store.forget_idle(now)
    return verified or read or any(sent)


def _verify(server: "Server", now: float) -> bool:
    """Verify the waiting trees whose prompts are read, and refuse those whose time is over."""
    ready = list[tuple[Record, Waiting]]()
    for record, waiting in [(one, one.waiting) for one in server.store if one.waiting is not None]:
        if record.session.unread:
            waiting.begin(now)
        elif waiting.until < now:
            _refuse(server, record, Code.EXPIRED, "the tree was not verified within its time limit")
        else:
            ready.append((record, waiting))
    if ready:
        _pass(server, _first(ready, server.limits.pass_nodes))
    return bool(ready)


def _first(ready: Sequence[tuple[Record, Waiting]], most: int) -> list[tuple[Record, Waiting]]:
    """Take those that have waited for longest, of at most so many nodes, but at least one; the others wait."""
    oldest = sorted(ready, key=lambda one: one[0].used)
    sizes = accumulate(len(waiting.tree) for _, waiting in oldest)
    return [one for number, (one, size) in enumerate(zip(oldest, sizes, strict=True)) if number == 0 or size <= most]


def _pass(server: "Server", ready: Sequence[tuple[Record, Waiting]]) -> None:
    """Verify trees in one pass, or if that fails each in its own, so that only the cause fails."""
    try:
        decisions = server.sessions.verify([record.session for record, _ in ready], [one.tree for _, one in ready])
    except Exception as error:
        if len(ready) > 1:
            for one in ready:
                _pass(server, [one])
        else:
            _fail(server, ready[0][0], error)
        return
    for (record, waiting), decision in zip(ready, decisions, strict=True):
        try:
            if isinstance(decision, Exception):
                raise decision
            _answer(server, record, waiting, decision)
        except Exception as error:  # or an error of an encoder's
            _fail(server, record, error)


def _answer(server: "Server", record: Record, waiting: Waiting, decision: Decision) -> None:
    """Send the decided tokens, keep the answer for repetitions, and continue a burst."""
    message, read = waiting.message, server.sessions.features([decision])
    features = {} if read is None else encode_features(read, record.opened.codec)
    record.hash.add(decision.tokens)
    tokens, now = pack_tokens(decision.tokens), server.clock()
    record.answer(Verified(message.sid, record.epoch, message.base, tokens, record.hash.digest, features), now)
    server.send(record.connection, record.answers[-1])
    if message.burst > 0 and server.may_continue(record, decision.tokens):
        record.wait(replace(message, burst=message.burst - 1), Tree.root(decision.tokens[-1]), now, burst=True)


def _fail(server: "Server", record: Record, error: Exception) -> None:
    _refuse(server, record, *reason(error))


def _refuse(server: "Server", record: Record, code: Code, detail: str) -> None:
    waiting, record.waiting = record.waiting, None
    if waiting is not None and not waiting.burst:  # else the client did not ask for it
        message = waiting.message
        server.send(record.connection, Refused(code, detail, message.sid, record.epoch, message.base))


def _read(server: "Server", unread: Sequence[Record]) -> bool:
    """Read a chunk of these prompts, or if that fails of each in its own pass; queue features of finished ones."""
    try:
        decisions = server.sessions.read([record.session for record in unread], server.chunk)
    except Exception as error:
        if len(unread) > 1:
            for one in unread:
                _read(server, [one])
        else:
            _give_up(server, unread[0], error)
        return bool(unread)
    records = {record.session: record for record in unread}
    for decision in decisions:
        record = records[decision.session]
        try:
            _take_in(server, record, decision)
        except Exception as error:  # of an encoder's: the others' features are not read again
            _give_up(server, record, error)
    return bool(unread)


def _take_in(server: "Server", record: Record, decision: Decision) -> None:
    """Keep the features of a chunk that was read, or queue all if it was the last one."""
    end = decision.start + len(decision.nodes)
    if end > record.first_wanted and (features := server.sessions.features([decision])) is not None:
        _keep(record, features, end)
    if record.session.unread:
        server.send(record.connection, Read(record.opened.sid, record.epoch, end, {}))
    else:
        _fill_backlog(record)


def _give_up(server: "Server", record: Record, error: Exception) -> None:
    """Refuse the waiting tree of a session whose prompt cannot be read, and drop the session."""
    _fail(server, record, error)
    server.store.forget([key for key, one in server.store.records.items() if one is record])


def _keep(record: Record, features: Features, end: int) -> None:
    """Keep the wanted ones of these features, whose last token is before `end`."""
    start = end - features.count
    skipped = max(record.first_wanted - start, 0)
    record.read.append((start + skipped, features.part(skipped, features.count)))


def _fill_backlog(record: Record) -> None:
    """Cut the prompt's features into parts, the last tokens' first, which help the drafter most."""
    while record.read:
        start, features = record.read.pop()
        size = max(PART // token_bytes(features, record.opened.codec), 1)
        for end in range(features.count, 0, -size):
            first = max(end - size, 0)
            record.backlog.append((start + first, features.part(first, end)))


def _send_backlog(server: "Server", record: Record) -> bool:
    """Send one part of a prompt's features; more at a time would delay answers."""
    if not record.backlog or record.connection not in server.connections:
        return False
    start, features = record.backlog.popleft()
    record.sent.append((start, features))
    arrays = encode_features(features, record.opened.codec)
    server.send(record.connection, Read(record.opened.sid, record.epoch, start, arrays))
    return True
