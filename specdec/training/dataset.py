"""Texts to learn from, as tokens."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from attrs import frozen
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from specdec.errors import DataError, OptionError
from specdec.text import in_common
from specdec.training import files
from specdec.training.learnt import Conversations
from specdec.training.records import Document, Record, Text
from specdec.training.teacher import Batch

Tokens = np.ndarray[Any, np.dtype[Any]]


@frozen(eq=False)
class Example:
    """Tokens of one text, and which of them are learnt from."""

    tokens: Tokens
    response: Tokens


class Examples(Dataset[tuple[int, Example]]):
    """All examples of a run, read and checked before the first step."""

    def __init__(self, examples: Sequence[Example], skipped: int = 0) -> None:
        self.examples, self.skipped = list(examples), skipped

    @classmethod
    def read(
        cls,
        paths: Sequence[str | Path],
        tokenizer: PreTrainedTokenizerBase,
        max_length: int = 2048,
        *,
        skip_malformed: bool = False,
    ) -> "Examples":
        """Read files of records, see `specdec.training.files`, and any other as one plain text.

        Texts are cut at `max_length`; plain files are split into pieces of that length.

        Raises:
            DataError: a line cannot be used; the message names file and line. Or it is skipped and counted.
        """
        return cls(*files.read(paths, _Encoder(tokenizer, max_length), skip_malformed=skip_malformed))

    @property
    def fingerprint(self) -> str:
        """A hash of all tokens, and of which are learnt from."""
        total = 0
        for example in self.examples:
            total = crc32(example.response.tobytes(), crc32(example.tokens.tobytes(), total))
        return f"{total:08x}"

    def frequent(self, count: int, vocab_size: int) -> Int[Tensor, " W"]:
        """List the tokens that are learnt from most often, in ascending order; of equally frequent ones the lowest."""
        counts = np.zeros(vocab_size, np.int64)
        for example in self.examples:
            counts += np.bincount(example.tokens[example.response], minlength=vocab_size)
        return torch.from_numpy(np.sort(np.argsort(-counts, kind="stable")[:count]))

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> tuple[int, Example]:
        return index, self.examples[index]


def collate(items: Sequence[tuple[int, Example]]) -> dict[str, Batch]:
    """Pad examples to the longest, on the right."""
    lengths = torch.tensor([len(example.tokens) for _, example in items])
    tokens = torch.zeros(len(items), int(lengths.max()), dtype=torch.int64)
    response = torch.zeros_like(tokens, dtype=torch.bool)
    for row, (_, example) in enumerate(items):
        tokens[row, : lengths[row]] = torch.from_numpy(example.tokens.astype(np.int64))
        response[row, : lengths[row]] = torch.from_numpy(example.response)
    real = torch.arange(tokens.shape[1]) < lengths[:, None]
    return {"batch": Batch(tokens, real, response, torch.tensor([index for index, _ in items]))}


class _Encoder:
    """Turns a record into tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        if max_length < 2:
            raise OptionError(f"expected a max_length of at least 2, got {max_length}")
        self._tokenizer, self._max, self._conversations = tokenizer, max_length, Conversations(tokenizer)

    def __call__(self, record: Record) -> list[Example]:
        if isinstance(record, Document):
            return self._pieces(record)
        if isinstance(record, Text):
            return [self._text(record)]
        return [self._cut(*self._conversations(record.messages))]

    def _pieces(self, record: Document) -> list[Example]:
        tokens = self._tokenizer(record.text, verbose=False)["input_ids"]
        starts = range(0, len(tokens), self._max)
        pieces = [tokens[start : start + self._max] for start in starts]
        return [_example(piece, [True] * len(piece)) for piece in pieces if piece]

    def _text(self, record: Text) -> Example:
        """Find the response after the tokens that the prompt alone would begin with."""
        tokens = self._tokenizer(record.prompt + record.text, verbose=False)["input_ids"]
        prompt = self._tokenizer(record.prompt, verbose=False)["input_ids"] if record.prompt else []
        start = in_common(prompt, tokens)
        return self._cut(tokens, [place >= start for place in range(len(tokens))])

    def _cut(self, tokens: list[int], response: list[bool]) -> Example:
        if not any(response[: self._max]):
            first = response.index(True) if any(response) else "none"
            raise DataError(f"expected an answer within {self._max} tokens, got the first at {first}")
        return _example(tokens[: self._max], response[: self._max])


def _example(tokens: Sequence[int], response: Sequence[bool]) -> Example:
    return Example(np.array(tokens, dtype=np.int32), np.array(response, dtype=bool))
