"""Drafting with an EAGLE head."""

import torch
from attrs import evolve
from jaxtyping import Float, Int
from torch import Tensor

from specdec.context import Context
from specdec.drafters.borrowed import Borrowed
from specdec.drafters.halved import halved
from specdec.drafters.head import HeadDrafter
from specdec.errors import OptionError
from specdec.features import Features, Needs
from specdec.grow import Frontier
from specdec.nodes import Array
from specdec.target import TreePass
from specdec.tree import Tree
from specdec_eagle.encoder import Eagle3Encoder
from specdec_eagle.model import EagleHead
from specdec_eagle.model3 import Eagle3Model
from specdec_eagle.rows import Rows


class EagleDrafter(HeadDrafter):
    """Goes on from the target's features of decided tokens, and from the head's own below the root.

    After each step the tokens that were accepted are read again, now with the target's own features.
    """

    def __init__(self, model: EagleHead, parts: Borrowed) -> None:
        """Use a loaded head with the embedding and the output head of its target."""
        self.model, self.parts = model, evolve(parts, head=halved(model.output(parts.head)))
        self.vocab_size = int(parts.config.vocab_size)
        self.needs = Needs((int(parts.config.num_hidden_layers),))
        self.open(0)
        self._given = torch.empty(0, 0, 0)  # [R, C, E], what came of the nodes read, in reading order

    def open(self, rows: int) -> None:
        self._rows = Rows(self.model, self.parts, rows)

    def learn(self, features: Features, starts: Int[Tensor, " B"], lengths: Int[Tensor, " B"]) -> None:
        self._rows.learn(self.feature(features), starts, lengths)

    def score(self, context: Context, tree: Tree, frontier: Frontier, active: Array) -> Float[Tensor, "R M V"]:
        rows = torch.from_numpy(active)
        if frontier.start == 0:
            self._given = self._rows.follow(context.tokens[rows], context.lengths[rows], rows)
            return self.model.score(self._given, self.parts.head)
        given = self._read(context, frontier, rows)
        self._given = torch.cat([self._given, given], 1)
        return self.model.score(given, self.parts.head)

    def feature(self, features: Features) -> Float[Tensor, "B K E"]:
        """Take out of what crossed over the feature of each token."""
        if features.hidden is None:
            raise OptionError("expected the target's last hidden state, got none")
        return features.hidden[:, :, 0]

    def _read(self, context: Context, frontier: Frontier, rows: Int[Tensor, " R"]) -> Float[Tensor, "R M E"]:
        """Read nodes, each with what came of the node above it."""
        above = frontier.above[rows]
        features = self._given[torch.arange(len(rows))[:, None], above]
        tree = TreePass((context.lengths[rows] - 2).clamp(min=0), frontier.read_depths[rows], frontier.visible[rows])
        return self._rows.read(frontier.tokens[rows], features, tree, rows)


class Eagle3Drafter(EagleDrafter):
    """The same with what the head mixes of the target's states at three depths, beside the target."""

    model: Eagle3Model

    def __init__(self, model: Eagle3Model, parts: Borrowed) -> None:
        """Use a loaded head with the embedding of its target."""
        super().__init__(model, parts)
        self.encoder = Eagle3Encoder(model)
        self.needs = Needs(model.config.eagle_aux_hidden_state_layer_ids or (), encoder=self.encoder)

    def feature(self, features: Features) -> Float[Tensor, "B K E"]:
        return self.encoder.encode(features) if features.encoded is None else features.encoded
