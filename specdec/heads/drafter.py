"""Drafters that are a head of their target: they learn what it computed, and score the rows that go on."""

from abc import abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from specdec.context import Context
from specdec.drafters.borrowed import Borrowed
from specdec.errors import PromptError
from specdec.features import Features
from specdec.grow import Frontier, grow
from specdec.interfaces import Drafter, TreePolicy
from specdec.nodes import Array, array
from specdec.tree import Tree


class HeadDrafter(Drafter):
    """Keeps something of each row, filled by position; `parts` are what the head borrows of its target."""

    parts: Borrowed

    @abstractmethod
    def open(self, rows: int) -> None:
        """Forget all, and make room for a batch of so many rows."""

    @abstractmethod
    def learn(self, features: Features, starts: Int[Tensor, " B"], lengths: Int[Tensor, " B"]) -> None:
        """Take in what the target computed for `lengths` tokens from each row's `starts` on."""

    @abstractmethod
    def score(self, context: Context, tree: Tree, frontier: Frontier, active: Array) -> Float[Tensor, "R M V"]:
        """Score what follows a frontier's nodes in the rows that are `active`, [R]; its first is the root alone."""

    def begin(self, context: Context) -> None:
        """Forget the last batch.

        Raises:
            PromptError: a row may grow longer than the target's positions.
        """
        longest, limit = int(context.limits.max()), int(self.parts.config.max_position_embeddings)
        if longest > limit:
            raise PromptError(f"expected rows within the head's {limit} positions, got a limit of {longest}")
        self.open(len(context.sampling))

    def propose(self, context: Context, policy: TreePolicy) -> Tree:
        active = (~array(context.done)).nonzero()[0]

        def score(tree: Tree, frontier: Frontier) -> Float[Tensor, "B M V"]:
            with torch.inference_mode():
                part = self.score(context, tree, frontier, active)
            if len(active) == len(context.done):
                return part
            logits = part.new_zeros(len(context.done), *part.shape[1:])
            logits[active] = part
            return logits

        step = context.step
        if step.features is not None and bool((step.lengths > 0).any()):
            with torch.inference_mode():  # a feature belongs to the token before the one that it predicted
                self.learn(step.features, context.lengths - step.lengths - 1, step.lengths)
        return grow(context, policy, score)

    def close(self) -> None:
        self.open(0)
