"""Texts to learn from, as tokens."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from attrs import frozen
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from specdec.errors import DataError, OptionError
from specdec.training import records
from specdec.training.chat import ANSWERS, laid_out
from specdec.training.records import Conversation, Document, Record, Text
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
        """Read files: `.jsonl` line by line, see `specdec.training.records`, any other as one plain text.

        Texts are cut at `max_length`; plain files are split into pieces of that length.

        Raises:
            DataError: a line cannot be used; the message names file and line. Or it is skipped and counted.
        """
        return cls(*records.read(paths, _Encoder(tokenizer, max_length), skip_malformed=skip_malformed))

    @property
    def fingerprint(self) -> str:
        """A hash of all tokens, and of which are learnt from."""
        total = 0
        for example in self.examples:
            total = crc32(example.response.tobytes(), crc32(example.tokens.tobytes(), total))
        return f"{total:08x}"

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
        self._tokenizer, self._max = tokenizer, max_length

    def __call__(self, record: Record) -> list[Example]:
        if isinstance(record, Document):
            return self._pieces(record)
        if isinstance(record, Text):
            return [self._text(record)]
        return [self._conversation(record)]

    def _pieces(self, record: Document) -> list[Example]:
        tokens = self._tokenizer(record.text, verbose=False)["input_ids"]
        starts = range(0, len(tokens), self._max)
        return [_example(piece, [(0, len(piece))]) for start in starts if (piece := tokens[start : start + self._max])]

    def _text(self, record: Text) -> Example:
        """Find the response after the tokens that the prompt alone would begin with."""
        tokens = self._tokenizer(record.prompt + record.text, verbose=False)["input_ids"]
        prompt = self._tokenizer(record.prompt)["input_ids"] if record.prompt else []
        pairs = enumerate(zip(prompt, tokens, strict=False))
        start = next((place for place, (one, other) in pairs if one != other), len(prompt))
        return self._cut(tokens, [(start, len(tokens))])

    def _conversation(self, record: Conversation) -> Example:
        """Find each answer as what the template adds when it is appended."""
        messages, spans = record.messages, []
        tokens = laid_out(messages, self._tokenizer)
        for place, message in enumerate(messages):
            if message["role"] == ANSWERS:
                before = laid_out(messages[:place], self._tokenizer, asking=True)
                after = laid_out(messages[: place + 1], self._tokenizer)
                if tokens[: len(before)] != before or tokens[: len(after)] != after:
                    raise DataError(
                        f"expected the chat template to leave earlier turns alone, turn {place} changes them"
                    )
                spans.append((len(before), len(after)))
        return self._cut(tokens, spans)

    def _cut(self, tokens: list[int], spans: Sequence[tuple[int, int]]) -> Example:
        if spans[0][0] >= min(self._max, len(tokens)):
            raise DataError(f"expected an answer within {self._max} tokens, got the first at {spans[0][0]}")
        return _example(tokens[: self._max], spans)


def _example(tokens: Sequence[int], spans: Sequence[tuple[int, int]]) -> Example:
    response = np.zeros(len(tokens), dtype=bool)
    for start, end in spans:
        response[start:end] = True
    return Example(np.array(tokens, dtype=np.int32), response)
