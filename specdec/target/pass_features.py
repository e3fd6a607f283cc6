"""What a drafter reads of the target: gathered from what passes left, when it is wanted."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from attrs import evolve, field, frozen
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from specdec.errors import OptionError
from specdec.features import Encoder, Features, Needs
from specdec.pack import pad
from specdec.pending import FeaturesAt, FeatureSource
from specdec.target.decisions import Decision, Session
from specdec.transfer import upload

if TYPE_CHECKING:
    from specdec.target.sessions import Sessions

AT_ONCE = 512
"""Tokens of each sequence that are gathered and encoded at a time: keys and values of all layers take much room."""

Spans = dict[int, tuple[int, int]]
"""Sequences by their number in the batch: the position of the first token, and how many tokens."""


@frozen(eq=False)
class HiddenStates:
    """What one pass computed for the tokens that it kept; rows are in the order of the spans, padded to the longest."""

    spans: Spans
    states: Float[Tensor, "R K L E"]

    def copy_to(self, other: Float[Tensor, "S M L E"], spans: Spans) -> None:
        """Copy what these have of other spans."""
        for (number, (start, length)), states in zip(self.spans.items(), self.states, strict=True):
            if number in spans:
                row, (begin, count) = list(spans).index(number), spans[number]
                first, end = max(start, begin), min(start + length, begin + count)
                if first < end:
                    other[row, first - begin : end - begin] = states[first - start : end - start]


@frozen(eq=False)
class PassFeatures(FeatureSource):
    """Features of the tokens that some passes kept.

    Keys and values are in the cache for as long as a session is open. Hidden states are held here.
    """

    sessions: "Sessions" = field(repr=False)
    batch: Sequence[Session | None] = field(repr=False)
    needs: Needs
    hidden: tuple[HiddenStates, ...] = ()

    def read(self, starts: Sequence[int], lengths: Sequence[int]) -> Features:
        """Gather features, encoded if they are to be; zero for sequences without any.

        Raises:
            OptionError: one of the sequences has left.
        """
        pairs = enumerate(zip(starts, lengths, strict=True))
        spans = {number: (start, length) for number, (start, length) in pairs if length}
        hidden, parts = self._hidden(spans), list[Features]()
        for first in range(0, max(lengths), AT_ONCE):
            keys, values = self._keys_values(spans, first)
            states = None if hidden is None else hidden[:, first : first + AT_ONCE]
            parts.append(_encoded(Features(states, keys, values), self.needs.encoder))
        features = Features.joined(parts)
        return features if len(spans) == len(starts) else features.map(partial(_scatter, [*spans], len(starts)))

    def merged(self, later: FeatureSource) -> "PassFeatures | None":
        if not isinstance(later, PassFeatures) or len(self.batch) != len(later.batch):
            return None
        same = all(new is None or new is old for old, new in zip(self.batch, later.batch, strict=True))
        return evolve(self, hidden=(*self.hidden, *later.hidden)) if same else None

    def _hidden(self, spans: Spans) -> Float[Tensor, "R K L E"] | None:
        """Put the hidden states of successive passes together."""
        if not self.hidden:
            return None
        longest, newest = max(length for _, length in spans.values()), self.hidden[-1]
        if _starts(newest.spans) == _starts(spans):  # as it is where each step is read
            return newest.states[:, :longest]
        hidden = newest.states.new_zeros(len(spans), longest, *newest.states.shape[2:])
        for part in self.hidden:
            part.copy_to(hidden, spans)
        return hidden

    def _keys_values(self, spans: Spans, first: int) -> tuple[Tensor | None, Tensor | None]:
        """Copy keys and values from the place `first` of each span on; those of a span's last token are repeated."""
        sessions = [self.batch[number] for number in spans]
        with self.sessions.lock:
            held = [session for session in sessions if session is not None and self.sessions.holds(session)]
            if len(held) < len(sessions):
                raise OptionError("expected features of sessions that are open, got those of one that has left")
            if not self.needs.keys_values:
                return None, None
            engine = self.sessions.engine
            positions = _positions([*spans.values()], first, engine.device)
            return engine.keys_values(self.needs.keys_values, [session.slot for session in held], positions)


def features_of(
    sessions: "Sessions", batch: Sequence[Session | None], decisions: Sequence[Decision]
) -> FeaturesAt | None:
    """Say what a drafter may read of one pass, of sessions of a batch with the same needs; None if that is nothing.

    Hidden states of the tokens that were kept are copied now, without those of other nodes.
    """
    needs = decisions[0].session.needs
    places = {session: number for number, session in enumerate(batch) if session is not None}
    wanted = {places[decision.session]: _wanted(decision) for decision in decisions} if needs else {}
    spans = {number: (start, len(nodes)) for number, (start, nodes) in wanted.items()}
    if not any(length for _, length in spans.values()):
        return None
    source = PassFeatures(sessions, tuple(batch), needs)
    if needs.hidden_states:
        states = _pick(sessions, decisions, [nodes for _, nodes in wanted.values()])
        source = evolve(source, hidden=(HiddenStates(spans, states),))
    starts, lengths = zip(*(spans.get(number, (0, 0)) for number in range(len(batch))), strict=True)
    return FeaturesAt(source, [*starts], [*lengths])


def _wanted(decision: Decision) -> tuple[int, Sequence[int]]:
    """Give the position of the first token that a drafter reads, and the nodes from there on."""
    nodes, session = decision.nodes, decision.session
    if not session.needs.only_last:
        return decision.start, nodes
    return decision.start + len(nodes) - 1, nodes[:0] if session.unread else nodes[-1:]


def _starts(spans: Spans) -> list[tuple[int, int]]:
    return [(number, start) for number, (start, _) in spans.items()]


def _pick(
    sessions: "Sessions", decisions: Sequence[Decision], nodes: Sequence[Sequence[int]]
) -> Float[Tensor, "R K L E"]:
    """Copy the hidden states of these nodes of each decision."""
    needs, reading = decisions[0].session.needs, decisions[0].reading
    pairs = zip(decisions, nodes, strict=True)
    (places,) = upload(sessions.engine.device, pad([[one.row, *path] for one, path in pairs], 0))
    states = [reading.hidden_states[index][places[:, :1], places[:, 1:]] for index in needs.hidden_states]
    return torch.stack(states, 2)


def _positions(spans: Sequence[tuple[int, int]], first: int, device: torch.device) -> Int[Tensor, "R K"]:
    """List the positions of at most `AT_ONCE` tokens of each span; after its end its last is repeated."""
    begin, count = torch.tensor(spans).T[..., None]
    places = torch.arange(first, min(first + AT_ONCE, int(count.max())))
    (positions,) = upload(device, begin + torch.minimum(places, count - 1))
    return positions


def _encoded(raw: Features, encoder: Encoder | None) -> Features:
    if encoder is None:
        return raw
    with torch.no_grad():
        return Features(encoded=encoder.encode(raw))


def _scatter(numbers: Sequence[int], size: int, part: Shaped[Tensor, "R ..."]) -> Shaped[Tensor, "B ..."]:
    """Put each sequence's features where it is in the batch, and zeros in the place of others'."""
    (index,) = upload(part.device, torch.tensor(numbers))
    return part.new_zeros(size, *part.shape[1:]).index_copy(0, index, part)
