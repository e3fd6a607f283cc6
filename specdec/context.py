"""What passes between drafter, verifier and loop. Shape letters are those of `specdec.tree`."""

from functools import cached_property

import numpy as np
import torch
from attrs import field, frozen
from jaxtyping import Bool, Int
from torch import Tensor

from specdec.chance import Chance, Dice, Keyed
from specdec.features import Features
from specdec.nodes import PADDING, array
from specdec.options import Sampling


@frozen(eq=False)
class Step:
    """What one pass of the target decided: `lengths` tokens per row, none for rows that are done.

    The first `accepted` of a row's tokens were drafted, the rest is the target's own. Features belong to the token
    before: `features[:, k]` predicted `tokens[:, k]`. `text` is filled in by `Decoder.stream`: what
    the row's text gained. Unverified tokens are a drafter's alone.
    """

    tokens: Int[Tensor, "B K"]
    lengths: Int[Tensor, " B"]
    accepted: Int[Tensor, " B"]
    features: Features | None = None
    verified: bool = True
    text: tuple[str, ...] | None = None


@frozen(eq=False)
class Context:
    """The rows of a batch as decided so far.

    `limits` are the lengths that rows may reach. `step` is the last step, the reading of the prompt included: its
    features are what is new since the drafter last saw the rows.
    """

    tokens: Int[Tensor, "B T"]
    lengths: Int[Tensor, " B"]
    limits: Int[Tensor, " B"]
    done: Bool[Tensor, " B"]
    sampling: tuple[Sampling, ...]
    step: Step
    chance: Chance = field(factory=Keyed)

    @cached_property
    def roots(self) -> Int[Tensor, " B"]:
        """The last decided token of each row; padding for rows that are done."""
        last = array(self.tokens)[np.arange(len(self.lengths)), array(self.lengths) - 1]
        return torch.from_numpy(np.where(array(self.done), PADDING, last))

    @cached_property
    def room(self) -> Int[Tensor, " B"]:
        """How deep drafting is of use: the last token of a row is never drafted, but sampled."""
        return torch.from_numpy(np.maximum(array(self.limits) - array(self.lengths) - 1, 0))

    @cached_property
    def dice(self) -> list[Dice]:
        """The chances of each row in the coming step."""
        pairs = zip(self.sampling, self.lengths.tolist(), strict=True)
        return [Dice(self.chance, sampling.seed, length - 1) for sampling, length in pairs]

    def row(self, row: int) -> list[int]:
        """List a row's decided tokens."""
        tokens: list[int] = array(self.tokens)[row, : self.lengths[row]].tolist()
        return tokens

    def extend(self, step: Step, done: Bool[Tensor, " B"]) -> "Context":
        """Append what a step decided."""
        lengths, decided = array(self.lengths) + array(step.lengths), array(step.tokens)
        longer = max(lengths.max() - self.tokens.shape[1], 0)
        tokens = np.concatenate([array(self.tokens), np.full((len(decided), longer), PADDING)], 1)
        for row, (start, end) in enumerate(zip(self.lengths.tolist(), lengths.tolist(), strict=True)):
            tokens[row, start:end] = decided[row, : end - start]
        return Context(
            torch.from_numpy(tokens),
            torch.from_numpy(lengths),
            self.limits,
            torch.from_numpy(array(self.done) | array(done)),
            self.sampling,
            step,
            self.chance,
        )
