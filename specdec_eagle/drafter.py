"""Drafting with an EAGLE head."""

from collections.abc import Sequence
from functools import cached_property

import torch
from attrs import frozen
from jaxtyping import Float
from torch import Tensor

from specdec import Context, Encoder, Features, Frontier, Needs, OptionError, upload
from specdec.heads import HeadDrafter, TargetParts, weights_digest
from specdec.target import TreePass
from specdec_eagle.cache import EagleCache
from specdec_eagle.model import EagleHead
from specdec_eagle.model3 import Eagle3Model


class EagleDrafter(HeadDrafter):
    """Continues from the target's features of decided tokens, and from the head's own below the root.

    After each step the tokens that were accepted are read again, now with the target's own features.
    """

    policy = "dynamic:depth=3,width=4,size=12,sharpness=3"

    def __init__(self, model: EagleHead, parts: TargetParts) -> None:
        """Use a loaded head with the embedding and the output head of its target; small weights are copied."""
        super().__init__(model, parts)
        self.model = model
        self.needs = Needs((int(parts.config.num_hidden_layers),))
        self._cache = EagleCache(model, parts)
        self._outputs = torch.empty(0, 0, 0)  # [R, C, E], of the nodes read, in reading order

    def open(self, size: int) -> None:
        self._cache.open(size)

    def learn(self, features: Features, starts: Sequence[int], lengths: Sequence[int]) -> None:
        self._cache.learn(self.feature(features), starts, lengths)

    def forget(self, lengths: Sequence[int]) -> None:
        self._cache.cut(lengths)

    def score(self, context: Context, frontier: Frontier) -> Float[Tensor, "R M W"]:
        tokens = [context.tokens[sequence] for sequence in frontier.sequences]
        if frontier.before is None:
            outputs = self._outputs = self._cache.follow(tokens, frontier.sequences)
        else:
            decided = [max(len(row) - 2, 0) for row in tokens]
            tree = TreePass(decided, frontier.read_depths, frontier.visible)
            rows, parents = upload(self._outputs.device, torch.arange(len(tokens))[:, None], frontier.above)
            above = self._outputs[rows, parents]
            outputs = self._cache.read(frontier.tokens, above, tree, frontier.sequences)
            self._outputs = torch.cat([self._outputs, outputs], 1)
        return self.model.score(outputs, self.parts.head)

    def feature(self, features: Features) -> Float[Tensor, "B K E"]:
        """Take the feature of each token out of what crossed over."""
        if features.hidden is None:
            raise OptionError("expected the target's last hidden state, got none")
        return features.hidden[:, :, 0]


@frozen(eq=False)
class Eagle3Encoder(Encoder):
    """Mixes the target's states at three depths into one vector of a token: a third of what would cross over."""

    model: Eagle3Model

    @cached_property
    def digest(self) -> str:
        parts = [self.model.fc, *([self.model.input_norm] if self.model.config.norm_before_fc else [])]
        return weights_digest(*parts)

    def encode(self, features: Features) -> Float[Tensor, "B K E"]:
        if features.hidden is None:
            raise OptionError("expected the target's hidden states, got none")
        return self.model.mix(features.hidden)


class Eagle3Drafter(EagleDrafter):
    """Reads what the head mixes of the target's states at three depths, beside the target."""

    model: Eagle3Model

    def __init__(self, model: Eagle3Model, parts: TargetParts) -> None:
        """Use a loaded head with the embedding of its target."""
        super().__init__(model, parts)
        self.encoder = Eagle3Encoder(model)
        self.needs = Needs(model.config.eagle_aux_hidden_state_layer_ids or (), encoder=self.encoder)

    def feature(self, features: Features) -> Float[Tensor, "B K E"]:
        return self.encoder.encode(features) if features.encoded is None else features.encoded
