"""What a pass brings to a session, and what a drafter reads of it."""

from collections.abc import Sequence

import torch
from attrs import define, frozen
from jaxtyping import Float, Int
from torch import Tensor

from specdec.features import Features, Needs
from specdec.pack import pad
from specdec.prefix import Prefix
from specdec.target.engine import Engine, Reading, Slot
from specdec.transfer import upload


@define(eq=False)
class Session:
    """One sequence. The first `slot.length` of its decided tokens have been read; the last of them is the root."""

    slot: Slot
    prefix: Prefix
    needs: Needs

    @property
    def unread(self) -> int:
        """How many tokens before the root are still to be read."""
        return len(self.prefix.tokens) - 1 - self.slot.length


@frozen(eq=False)
class Decision:
    """What a pass brought to a session: the tokens that were decided, of which all but the last were drafted.

    Reading a part of a prompt decides nothing. `nodes` are those of the pass that the session keeps, in the cache's
    columns from `start` on.
    """

    session: Session
    tokens: list[int]
    nodes: Sequence[int]
    start: int
    reading: Reading
    row: int
    """The session's row in the reading."""


def gather_features(engine: Engine, decisions: Sequence[Decision]) -> Features | None:
    """Gather the features of the nodes that sessions of the same needs kept of one pass, encoded if they are to be."""
    needs, reading = decisions[0].session.needs, decisions[0].reading
    if not needs:
        return None
    skipped = [len(decision.nodes) - 1 if needs.only_last else 0 for decision in decisions]
    pairs = zip(decisions, skipped, strict=True)
    (places,) = upload(engine.device, pad([[one.row, one.start + skip, *one.nodes[skip:]] for one, skip in pairs], 0))
    rows, starts, nodes = places[:, 0], places[:, 1], places[:, 2:]
    states = [_pick(reading.hidden_states[index], rows, nodes) for index in needs.hidden_states]
    keys, values = None, None
    if needs.keys_values:
        slots = [decision.session.slot for decision in decisions]
        keys, values = engine.keys_values(
            needs.keys_values, slots, starts[:, None] + torch.arange(nodes.shape[1], device=engine.device)
        )
    raw = Features(torch.stack(states, 2) if states else None, keys, values)
    if needs.encoder is None:
        return raw
    with torch.no_grad():
        return Features(encoded=needs.encoder.encode(raw))


def _pick(states: Float[Tensor, "R M E"], rows: Int[Tensor, " B"], nodes: Int[Tensor, "B K"]) -> Tensor:
    return states[rows[:, None], nodes]
