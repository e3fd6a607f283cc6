"""Where each sequence ends: end tokens, stop strings, and its limit."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, StopStringCriteria

from specdec.context import Context, Step
from specdec.errors import OptionError
from specdec.options import Stop

__all__ = ["Ends"]


class Ends:
    """Finds where each row ends inside a step."""

    def __init__(self, stop: Stop, end_tokens: Sequence[int], tokenizer: PreTrainedTokenizerBase | None) -> None:
        self._tokens = set(end_tokens if stop.tokens is None else stop.tokens)
        if stop.strings and tokenizer is None:
            raise OptionError(f"expected a tokenizer to find the stop strings {stop.strings} with, got none")
        self._strings = StopStringCriteria(tokenizer, list(stop.strings)) if stop.strings else None

    def cut(self, context: Context, step: Step) -> tuple[Step, Tensor]:
        """Cut a step behind each row's end; say which rows are done."""
        tokens, room = step.tokens.tolist(), (context.limits - context.lengths).tolist()
        lengths, done = [min(*pair) for pair in zip(step.lengths.tolist(), room, strict=True)], context.done.tolist()
        for row, length in enumerate(lengths):
            end = self._first_end(context, row, tokens[row][:length])
            if end is not None:
                lengths[row] = end + 1
            done[row] = done[row] or end is not None or length >= room[row]
        width, counts = max(lengths), torch.tensor(lengths)
        features = None if step.features is None else step.features.first(width)
        accepted = torch.minimum(step.accepted, counts)
        return Step(step.tokens[:, :width], counts, accepted, features, step.verified), torch.tensor(done)

    def _first_end(self, context: Context, row: int, tokens: list[int]) -> int | None:
        for index, token in enumerate(tokens):
            if token in self._tokens or self._completes_string(context, row, tokens[: index + 1]):
                return index
        return None

    def _completes_string(self, context: Context, row: int, tokens: list[int]) -> bool:
        if self._strings is None:
            return False
        return bool(self._strings(torch.tensor([context.row(row) + tokens]), torch.empty(0))[0])
