"""What models of heads have in common: the tokens that they draft."""

from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from specdec.errors import OptionError
from specdec.heads.parts import TargetParts


class HeadModel(PreTrainedModel):
    """A head that drafts all tokens of its target, or those of a draft vocabulary (FR-Spec, arXiv 2502.14856).

    Its configuration has a `vocab_size`, the target's, and a `draft_vocab_size`, which is less with a draft vocabulary.
    Then `d2t` says how far each of its ids is from the target's, and `t2d` which of the target's are among them, as in
    published EAGLE-3 heads.
    """

    base_model_prefix = ""
    d2t: Int[Tensor, " W"]
    t2d: Bool[Tensor, " V"]

    def __init__(self, config: Any) -> None:
        """Make room for a draft vocabulary, which is that of the lowest ids until others are chosen.

        Raises:
            OptionError: it is larger than the target's, or has no tokens.
        """
        size, whole = config.draft_vocab_size, config.vocab_size
        if not 0 < size <= whole:
            raise OptionError(f"expected a draft vocabulary of 1 to {whole} tokens, or 0 for all of them, got {size}")
        super().__init__(config)
        if self.reduced:
            self.register_buffer("d2t", torch.zeros(size, dtype=torch.int64))
            self.register_buffer("t2d", torch.arange(whole) < size)

    @property
    def reduced(self) -> bool:
        """Whether it has a draft vocabulary."""
        return bool(self.config.draft_vocab_size < self.config.vocab_size)

    def choose(self, tokens: Int[Tensor, " W"]) -> None:
        """Make these tokens of the target, in ascending order, the draft vocabulary."""
        self.d2t.copy_(tokens - torch.arange(len(tokens), device=tokens.device))
        self.t2d.zero_()
        self.t2d[tokens] = True

    def tokens(self) -> Int[Tensor, " W"]:
        """List the target's ids of the tokens that it drafts, in ascending order."""
        drafted = torch.arange(self.config.draft_vocab_size, device=self.device)
        return drafted + self.d2t if self.reduced else drafted

    def output(self, parts: TargetParts) -> nn.Module:
        """Give the layer that scores these tokens: the target's output head, or a copy of their rows of it."""
        return parts.output_rows(self.tokens()) if self.reduced else parts.head
