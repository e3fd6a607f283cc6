"""Drafting with an EAGLE head."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from specdec.data import Context, Features, Needs
from specdec.drafters.borrowed import Borrowed
from specdec.errors import OptionError, PromptError
from specdec.grow import Frontier, grow
from specdec.interfaces import Drafter, TreePolicy
from specdec.target import Layout
from specdec.tree import Tree
from specdec_eagle.encoder import Eagle3Encoder
from specdec_eagle.model import EagleHead
from specdec_eagle.model3 import Eagle3Model
from specdec_eagle.rows import Rows


class EagleDrafter(Drafter):
    """Goes on from the target's features of decided tokens, and from the head's own below the root.

    After each step the tokens that were accepted are read again, now with the target's own features.
    """

    def __init__(self, model: EagleHead, parts: Borrowed) -> None:
        """Use a loaded head with the embedding and the output head of its target."""
        self.model, self.parts = model, parts
        self.vocab_size = int(parts.config.vocab_size)
        self.needs = Needs((int(parts.config.num_hidden_layers),))
        self._rows = Rows(model, parts, 0)
        self._given = torch.empty(0, 0, 0)  # [R, C, E], what came of the nodes read, in reading order

    def begin(self, context: Context) -> None:
        """Forget the last batch.

        Raises:
            PromptError: a row may grow longer than the target's positions.
        """
        longest, limit = int(context.limits.max()), int(self.parts.config.max_position_embeddings)
        if longest > limit:
            raise PromptError(f"expected rows within the head's {limit} positions, got a limit of {longest}")
        self._rows = Rows(self.model, self.parts, len(context.sampling))

    def propose(self, context: Context, policy: TreePolicy) -> Tree:
        active = (~context.done).nonzero()[:, 0]

        def score(tree: Tree, frontier: Frontier) -> Float[Tensor, "B M V"]:
            with torch.no_grad():
                part = self.model.score(self._predict(context, tree, frontier, active), self.parts.head)
            if len(active) == len(context.done):
                return part
            logits = part.new_zeros(len(context.done), *part.shape[1:])
            logits[active] = part
            return logits

        with torch.no_grad():
            self._learn(context)
        return grow(context, policy, score)

    def close(self) -> None:
        self._rows = Rows(self.model, self.parts, 0)

    def open(self, features: Features) -> Float[Tensor, "B K E"]:
        """Take out of what crossed over the feature of each token."""
        if features.hidden is None:
            raise OptionError("expected the target's last hidden state, got none")
        return features.hidden[:, :, 0]

    def _learn(self, context: Context) -> None:
        """Take in what the target computed for the tokens before those of the last step."""
        step = context.step
        if step.features is not None and bool((step.lengths > 0).any()):
            self._rows.learn(self.open(step.features), context.lengths - step.lengths - 1, step.lengths)

    def _predict(
        self, context: Context, tree: Tree, frontier: Frontier, active: Int[Tensor, " R"]
    ) -> Float[Tensor, "R M E"]:
        nodes, lengths = frontier.nodes[active], context.lengths[active]
        if frontier.start == 0:
            self._given = self._rows.follow(context.tokens[active], lengths, active)
            return self._given
        read, parents = frontier.read[active], tree.parents[active].gather(1, nodes.clamp(min=0))
        above = (read[:, None, : frontier.start] == parents[..., None]).int().argmax(-1)
        features = self._given[torch.arange(len(active))[:, None], above]
        depths = tree.depths[active].gather(1, read.clamp(min=0)).masked_fill(read < 0, 0)
        layout = Layout((lengths - 2).clamp(min=0), depths, frontier.visible[active])
        given = self._rows.read(frontier.tokens[active], features, layout, active)
        self._given = torch.cat([self._given, given], 1)
        return given


class Eagle3Drafter(EagleDrafter):
    """The same with what the head mixes of the target's states at three depths, beside the target."""

    model: Eagle3Model

    def __init__(self, model: Eagle3Model, parts: Borrowed) -> None:
        """Use a loaded head with the embedding of its target."""
        super().__init__(model, parts)
        self.encoder = Eagle3Encoder(model)
        self.needs = Needs(model.config.eagle_aux_hidden_state_layer_ids or (), encoder=self.encoder)

    def open(self, features: Features) -> Float[Tensor, "B K E"]:
        return self.encoder.encode(features) if features.encoded is None else features.encoded
