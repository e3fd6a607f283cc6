"""The tokens that columns of scores stand for."""

from collections.abc import Sequence
from functools import cached_property
from math import inf

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad as pad_columns

from specdec.transfer import upload


class Columns:
    """The tokens of a drafter that knows a few only, in ascending order; without any, columns are ids.

    After those of the tokens there may be a column more, of all other tokens together.
    """

    def __init__(self, vocabulary: Sequence[int] | Int[Tensor, " K"] | None) -> None:
        self._vocabulary = vocabulary
        self._copies = dict[torch.device, Int[Tensor, " K"]]()

    @cached_property
    def _tokens(self) -> Int[Tensor, " K"] | None:
        return None if self._vocabulary is None else torch.as_tensor(self._vocabulary, device="cpu")

    def token(self, column: int) -> int:
        """Give the token of a column."""
        return column if self._vocabulary is None else int(self._vocabulary[column])

    def of(self, tokens: Sequence[int]) -> list[int]:
        """List the columns of tokens, of those that have one."""
        if self._tokens is None:
            return list(tokens)
        columns: list[int] = torch.isin(self._tokens, torch.tensor(tokens)).nonzero()[:, 0].tolist()
        return columns

    def size(self, scores: Float[Tensor, "*N C"], vocab_size: int | None) -> int:
        """Count the ids up to the last that has a column; the target's whole vocabulary, if its size is known."""
        if self._vocabulary is None:
            return scores.shape[-1]
        return max(int(self._vocabulary[-1]) + 1, vocab_size or 0)

    def within(self, scores: Float[Tensor, "*N C"], vocab_size: int | None) -> Float[Tensor, "*N _"]:
        """Rule out ids that the target does not have: some models score more than there are."""
        if vocab_size is None:
            return scores
        if self._vocabulary is None:
            return scores[..., :vocab_size]
        if int(self._vocabulary[-1]) < vocab_size:
            return scores
        unknown = torch.as_tensor(self._vocabulary, device=scores.device) >= vocab_size
        return scores.masked_fill(pad_columns(unknown, (0, scores.shape[-1] - len(unknown))), -inf)

    def pick(self, values: Float[Tensor, "*N V"]) -> Float[Tensor, "*N C"]:
        """Pick the columns out of what there is for each id; those of tokens only."""
        return values if self._tokens is None else values[..., self._on(values.device)]

    def known(self, values: Float[Tensor, "*N C"]) -> Float[Tensor, "*N K"]:
        """Leave out the column of all other tokens."""
        return values if self._vocabulary is None else values[..., : len(self._vocabulary)]

    def spread(self, values: Float[Tensor, "*N C"]) -> Float[Tensor, "*N V"]:
        """Give each id what its column has, others zero."""
        if self._tokens is None:
            return values
        wide = values.new_zeros(*values.shape[:-1], int(self._tokens[-1]) + 1)
        wide[..., self._on(values.device)] = self.known(values)
        return wide

    def _on(self, device: torch.device) -> Int[Tensor, " K"]:
        """Give the tokens on a device."""
        if device not in self._copies and self._tokens is not None:
            (self._copies[device],) = upload(device, self._tokens)
        return self._copies[device]
