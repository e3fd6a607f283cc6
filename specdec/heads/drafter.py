"""Drafters that are a head of their target: they learn what it computed, and score what follows each node."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from attrs import evolve
from jaxtyping import Float, Int
from torch import Tensor

from specdec.context import Context
from specdec.features import Features
from specdec.frontier import Frontier
from specdec.grow import grow
from specdec.heads.copies import drafting_copy
from specdec.heads.model import HeadModel
from specdec.heads.parts import TargetParts
from specdec.interfaces import Drafter, TreePolicy
from specdec.pending import PendingFeatures
from specdec.tree import Tree


class HeadDrafter(Drafter):
    """Has a cache of each sequence, filled by position; `parts` are what the head uses of its target."""

    parts: TargetParts
    vocabulary: Int[Tensor, " W"] | None = None
    """The tokens that are scored, in ascending order, if these are not all."""

    def __init__(self, model: HeadModel, parts: TargetParts) -> None:
        """Use a head with parts of its target, whose small weights are copied."""
        self.parts = evolve(parts, head=drafting_copy(model.output(parts)))
        self.vocab_size = int(parts.config.vocab_size)
        self.vocabulary = model.tokens().cpu() if model.reduced else None
        self._pending = PendingFeatures()

    @abstractmethod
    def open(self, size: int) -> None:
        """Forget all, and make room for a batch of this size."""

    @abstractmethod
    def learn(self, features: Features, starts: Sequence[int], lengths: Sequence[int]) -> None:
        """Take in what the target computed for `lengths` tokens of each sequence, from position `starts` on."""

    @abstractmethod
    def forget(self, lengths: Sequence[int]) -> None:
        """Forget what was learnt of each sequence after this many tokens."""

    @abstractmethod
    def score(self, context: Context, frontier: Frontier) -> Float[Tensor, "R M W"]:
        """Score what follows each node of a frontier; the first frontier of a step is the roots alone."""

    def begin(self, context: Context) -> None:
        self._pending = PendingFeatures()
        self.open(len(context.tokens))

    def unread(self, context: Context) -> int:
        return self._told(context).total

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        self._pending = self._told(context)

        def score(frontier: Frontier) -> Float[Tensor, "R M W"]:
            for part in self._pending.take():  # at the first level: a tree without any costs nothing
                self.learn(part.features, part.starts, part.lengths)
            return self.score(context, frontier)

        with torch.inference_mode():
            for part in context.features:
                if part.gathered:
                    self.learn(part.features, part.starts, part.lengths)
            return grow(context, policy, score, self.vocabulary)

    def cut(self, lengths: Sequence[int]) -> None:
        self._pending.cut(lengths)
        self.forget(lengths)

    def close(self) -> None:
        self._pending = PendingFeatures()
        self.open(0)

    def _told(self, context: Context) -> PendingFeatures:
        """Give what is still to be gathered of the sequences that are not done, what is new included."""
        new = [part for part in context.features if not part.gathered]
        return self._pending.extended(new, context.done)
