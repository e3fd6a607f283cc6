"""Texts to learn from, as tokens."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import frozen
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from specdec.errors import DataError, OptionError
from specdec.training.lesson import Batch
from specdec.training.records import Conversation, Record, parse

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

        Conversations are cut at `max_length`; plain text of files is split into pieces of that length.

        Raises:
            DataError: a line cannot be used; the message names file and line. Or it is skipped and counted.
        """
        encode = _Encoder(tokenizer, max_length)
        examples, skipped = list[Example](), 0
        for path in map(Path, paths):
            if path.suffix != ".jsonl":
                examples += encode.pieces(_text(path))
                continue
            for number, line in _lines(path):
                try:
                    examples.append(encode(parse(_decoded(line))))
                except DataError as error:
                    if not skip_malformed:
                        raise DataError(f"{path}:{number}: {error}") from error
                    skipped += 1
        if not examples:
            raise DataError(f"expected at least one text in {', '.join(map(str, paths)) or 'no file'}, got none")
        return cls(examples, skipped)

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
    """Turns records into tokens."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        if max_length < 2:
            raise OptionError(f"expected a max_length of at least 2, got {max_length}")
        self._tokenizer, self._max = tokenizer, max_length

    def __call__(self, record: Record) -> Example:
        if not isinstance(record, Conversation):
            tokens = self._tokenizer(record.text)["input_ids"][: self._max]
            return _example(tokens, [(0, len(tokens))])
        if not self._tokenizer.chat_template:
            raise DataError("expected a text, for the target's tokenizer has no chat template; got a conversation")
        return self._conversation(record)

    def pieces(self, text: str) -> list[Example]:
        tokens = self._tokenizer(text, verbose=False)["input_ids"]
        starts = range(0, len(tokens), self._max)
        return [_example(piece, [(0, len(piece))]) for start in starts if (piece := tokens[start : start + self._max])]

    def _conversation(self, record: Conversation) -> Example:
        """Find each answer as what the template adds when it is appended."""
        messages, spans = list(record.messages), []
        tokens = self._template(messages, False)
        for place, message in enumerate(messages):
            if message["role"] == "assistant":
                before, after = self._template(messages[:place], True), self._template(messages[: place + 1], False)
                if tokens[: len(before)] != before or tokens[: len(after)] != after:
                    raise DataError(
                        f"expected the chat template to leave earlier turns alone, turn {place} changes them"
                    )
                spans.append((len(before), len(after)))
        if spans[0][0] >= self._max:
            raise DataError(f"expected an answer within {self._max} tokens, got the first at {spans[0][0]}")
        return _example(tokens[: self._max], spans)

    def _template(self, messages: list[dict[str, str]], prompt: bool) -> list[int]:
        if not messages:
            return []
        try:
            said: Any = self._tokenizer.apply_chat_template(messages, add_generation_prompt=prompt, return_dict=True)
        except Exception as error:  # templates raise what they like when roles come in an order they do not know
            raise DataError(f"expected turns that the chat template takes, got: {error}") from error
        return list(said["input_ids"])


def _example(tokens: Sequence[int], spans: Sequence[tuple[int, int]]) -> Example:
    response = np.zeros(len(tokens), dtype=bool)
    for start, end in spans:
        response[start:end] = True
    return Example(np.array(tokens, dtype=np.int32), response)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())
    except OSError as error:
        raise DataError(f"expected a file to read at {path}, got: {error}") from error


def _text(path: Path) -> str:
    try:
        return _decoded(path.read_bytes())
    except OSError as error:
        raise DataError(f"expected a file to read at {path}, got: {error}") from error


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"expected UTF-8, got {error.reason} at byte {error.start}") from error
