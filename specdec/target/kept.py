"""What a drafter reads of the target: gathered from what passes kept, when it is wanted."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from attrs import evolve, frozen
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from specdec.errors import OptionError
from specdec.features import Encoder, Features, Needs
from specdec.pack import pad
from specdec.target.decisions import Decision, Session
from specdec.transfer import upload
from specdec.unread import FeaturesAt, Source

if TYPE_CHECKING:
    from specdec.target.sessions import Sessions

CHUNK = 512
"""Tokens of each sequence that are encoded at a time, for keys and values of all layers take much room."""


@frozen(eq=False)
class States:
    """Hidden states that one pass kept: row r has those of sequence `numbers[r]`, from the position `starts[r]` on."""

    numbers: Sequence[int]
    starts: Sequence[int]
    lengths: Sequence[int]
    states: Float[Tensor, "R K L E"]


@frozen(eq=False)
class Kept(Source):
    """What passes kept of a batch: keys and values are in the cache while a session is open, `states` are held here."""

    sessions: "Sessions"
    batch: Sequence[Session | None]
    needs: Needs
    states: tuple[States, ...] = ()

    def read(self, starts: Sequence[int], lengths: Sequence[int]) -> Features:
        """Gather features, encoded if they are to be; zero for sequences that have left since.

        Raises:
            OptionError: all of them have left.
        """
        with self.sessions.lock:
            pairs = enumerate(zip(self.batch, lengths, strict=True))
            numbers = [number for number, (one, length) in pairs if one and length and self.sessions.holds(one)]
            if not numbers:
                raise OptionError("expected features of a session that is open, got those of one that has left")
            begin, count = [starts[number] for number in numbers], [lengths[number] for number in numbers]
            features = self._encoded(numbers, begin, count, self._hidden(numbers, begin, count))
        return features if len(numbers) == len(self.batch) else features.map(partial(_scatter, numbers, self.batch))

    def joined(self, later: Source) -> "Kept | None":
        if not isinstance(later, Kept) or len(self.batch) != len(later.batch):
            return None
        same = all(new is None or new is old for old, new in zip(self.batch, later.batch, strict=True))
        return evolve(self, states=(*self.states, *later.states)) if same else None

    def _encoded(
        self,
        numbers: Sequence[int],
        starts: Sequence[int],
        lengths: Sequence[int],
        hidden: Float[Tensor, "R K L E"] | None,
    ) -> Features:
        """Add keys and values, and encode; past a sequence's length, those of its last token are repeated."""
        engine, needs, parts = self.sessions.engine, self.needs, list[Features]()
        slots = [session.slot for number in numbers if (session := self.batch[number])]
        positions = _positions(starts, lengths, engine.device) if needs.keys_values else None
        for first in range(0, max(lengths), CHUNK):
            chunk, keys, values = slice(first, first + CHUNK), None, None
            if positions is not None:
                keys, values = engine.keys_values(needs.keys_values, slots, positions[:, chunk])
            raw = Features(None if hidden is None else hidden[:, chunk], keys, values)
            parts.append(raw if needs.encoder is None else _encode(needs.encoder, raw))
        return Features.joined(parts)

    def _hidden(
        self, numbers: Sequence[int], starts: Sequence[int], lengths: Sequence[int]
    ) -> Float[Tensor, "R K L E"] | None:
        """Put the hidden states of successive passes together."""
        if not self.states:
            return None
        newest = self.states[-1]
        if [*newest.numbers] == [*numbers] and [*newest.starts] == [*starts]:  # as it is where each step is read
            return newest.states[:, : max(lengths)]
        like = newest.states
        hidden = like.new_zeros(len(numbers), max(lengths), *like.shape[2:])
        rows = {number: row for row, number in enumerate(numbers)}
        for part in self.states:
            for number, start, length, states in zip(part.numbers, part.starts, part.lengths, part.states, strict=True):
                if number in rows:
                    row = rows[number]
                    first, end = max(start, starts[row]), min(start + length, starts[row] + lengths[row])
                    if first < end:
                        hidden[row, first - starts[row] : end - starts[row]] = states[first - start : end - start]
        return hidden


def kept(sessions: "Sessions", batch: Sequence[Session | None], decisions: Sequence[Decision]) -> FeaturesAt | None:
    """Say what a drafter may read of one pass's decisions on sessions of a batch; None if it needs nothing.

    Hidden states are copied now, for the next pass may overwrite them.
    """
    needs = decisions[0].session.needs
    if not needs:
        return None
    rows, spans = {one: row for row, one in enumerate(batch) if one}, [_span(decision) for decision in decisions]
    numbers = [rows[decision.session] for decision in decisions]
    starts, lengths = [0] * len(batch), [0] * len(batch)
    for number, (start, nodes) in zip(numbers, spans, strict=True):
        starts[number], lengths[number] = start, len(nodes)
    source = Kept(sessions, tuple(batch), needs)
    if needs.hidden_states:
        states = _pick(sessions, decisions, [nodes for _, nodes in spans])
        begin, count = [start for start, _ in spans], [len(nodes) for _, nodes in spans]
        source = evolve(source, states=(States(numbers, begin, count, states),))
    return FeaturesAt(source, starts, lengths)


def _span(decision: Decision) -> tuple[int, Sequence[int]]:
    """Give the nodes of a decision that a drafter reads, and the position of the first."""
    skipped = len(decision.nodes) - 1 if decision.session.needs.only_last else 0
    return decision.start + skipped, decision.nodes[skipped:]


def _pick(
    sessions: "Sessions", decisions: Sequence[Decision], nodes: Sequence[Sequence[int]]
) -> Float[Tensor, "R K L E"]:
    """Copy the hidden states of these nodes of each decision."""
    needs, reading = decisions[0].session.needs, decisions[0].reading
    pairs = zip(decisions, nodes, strict=True)
    (places,) = upload(sessions.engine.device, pad([[one.row, *path] for one, path in pairs], 0))
    states = [reading.hidden_states[index][places[:, :1], places[:, 1:]] for index in needs.hidden_states]
    return torch.stack(states, 2)


def _positions(starts: Sequence[int], lengths: Sequence[int], device: torch.device) -> Int[Tensor, "R K"]:
    begin, count = torch.tensor([starts, lengths])[..., None]
    (positions,) = upload(device, begin + torch.minimum(torch.arange(max(lengths)), count - 1))
    return positions


@torch.no_grad()
def _encode(encoder: Encoder, raw: Features) -> Features:
    return Features(encoded=encoder.encode(raw))


def _scatter(
    numbers: Sequence[int], batch: Sequence[Session | None], part: Shaped[Tensor, "R ..."]
) -> Shaped[Tensor, "B ..."]:
    """Put each sequence's features where it is in the batch, and zeros in the place of others'."""
    (index,) = upload(part.device, torch.tensor(numbers))
    return part.new_zeros(len(batch), *part.shape[1:]).index_copy(0, index, part)
