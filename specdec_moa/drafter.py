"""Drafting with a Mixture of Attentions head."""

import numpy as np
import torch
from attrs import evolve
from jaxtyping import Bool, Float, Int
from torch import Tensor

from specdec.context import Context
from specdec.drafters.halved import halved
from specdec.drafters.head import HeadDrafter
from specdec.features import Features, Needs
from specdec.grow import Frontier
from specdec.nodes import Array, array
from specdec.target import TreePass
from specdec.tree import Tree
from specdec_moa.encoder import MoAEncoder
from specdec_moa.model import MoAModel
from specdec_moa.parts import TargetParts
from specdec_moa.rows import Rows
from specdec_moa.stack import Stack


class MoADrafter(HeadDrafter):
    """Reads drafted tokens with self-attention, and the target's memory of decided ones with cross-attention.

    With target layer inference, the target's last layers run on what that gives, reading their own keys and values of
    decided tokens and predicted ones of drafted tokens. What the target has not computed, for it is
    out of reach, stays as predicted.
    """

    parts: TargetParts

    def __init__(self, model: MoAModel, parts: TargetParts, cut: str = "projected") -> None:
        """Use a loaded head with parts of its target; `cut` says what crosses over, see `MoAEncoder`.

        Cut `raw` sends the target's own keys and values, and makes the memory here. Small weights are copied: what is
        learnt later, a drafter made later shows.
        """
        self.model = model
        self.parts = evolve(parts, head=halved(parts.head))
        self.vocab_size = int(parts.config.vocab_size)
        self.encoder = MoAEncoder(self.model, len(parts.layers), cut)
        self.needs = self._needs(cut)
        self._stack = Stack(self.model, self.parts)
        self.open(0)

    def open(self, rows: int) -> None:
        self._rows = Rows(self._stack, rows)

    def learn(self, features: Features, starts: Int[Tensor, " B"], lengths: Int[Tensor, " B"]) -> None:
        parcel = self.encoder.open(features, self.parts.config.num_key_value_heads, self.model.config.head_dim)
        self._rows.learn(parcel, starts, lengths)

    def score(self, context: Context, tree: Tree, frontier: Frontier, active: Array) -> Float[Tensor, "R M V"]:
        if frontier.start == 0:
            self._recalled = self._rows.recall(active)
            return self._read_roots(context, active)
        asked = [context.lengths - 1, frontier.tokens, frontier.read_depths, frontier.visible]
        if len(active) < len(asked[0]):
            asked = [part[torch.from_numpy(active)] for part in asked]
        lengths, tokens, depths, visible = asked
        return self._rows.read(tokens, TreePass(lengths, depths, visible), self._recalled)

    def _needs(self, cut: str) -> Needs:
        last = int(self.parts.config.num_hidden_layers)
        bare = self.model.config.disable_LSA
        layers = range(self.parts.first if bare else 0, last)
        return Needs((last,) if bare else (), tuple(layers), None if cut == "raw" else self.encoder)

    def _read_roots(self, context: Context, active: Array) -> Float[Tensor, "R 1 V"]:
        """Read each root behind what was decided before it, of which some may be new."""
        ends, rows = array(context.lengths)[active] - 1, torch.from_numpy(active)
        starts = np.minimum(self._rows.settled[active], ends) if self.parts.layers else ends
        self._rows.follow(context.tokens[rows], starts, active)
        size = int((ends - starts).max()) + 1
        depths = torch.arange(size).expand(len(active), -1)
        columns = (torch.from_numpy(starts)[:, None] + depths).clamp(max=context.tokens.shape[1] - 1)
        tokens = context.tokens[rows].gather(1, columns)
        tree = TreePass(torch.from_numpy(starts), depths, _causal(size, len(active)))
        logits = self._rows.read(tokens, tree, self._recalled, only=torch.from_numpy(ends - starts))
        self._rows.settled[active] = np.maximum(self._rows.settled[active], ends)
        return logits


def _causal(size: int, rows: int) -> Bool[Tensor, "R M M"]:
    return torch.ones(size, size, dtype=torch.bool).tril().expand(rows, -1, -1)
