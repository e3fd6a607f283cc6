"""Packed token blocks, cached as a memory-mapped array of uint16."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from specdec_zoo.corpus import Document


class Blocks(Dataset[dict[str, torch.Tensor]]):
    """Blocks of `length` tokens of one long stream of documents: all, or `limit` evenly spaced ones."""

    def __init__(self, stream: Path, length: int, limit: int | None = None) -> None:
        self.tokens = np.memmap(stream, dtype=np.uint16, mode="r")
        self.length = length
        count = len(self.tokens) // length
        if count == 0:
            raise ValueError(
                f"{stream.name} holds {len(self.tokens)} tokens, too few for a block of {length}"
            )
        blocks = min(count, limit or count)
        self.starts = length * (np.arange(blocks) * count // blocks)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        start = int(self.starts[index])
        block = self.tokens[start : start + self.length]
        ids = torch.from_numpy(block.astype(np.int64))
        return {"input_ids": ids, "labels": ids}


def write(documents: Sequence[Document], tokenizer: PreTrainedTokenizerFast, stream: Path) -> int:
    """Every document followed by end-of-text; returns the number of tokens."""
    end = tokenizer.eos_token_id
    total = 0
    with stream.open("wb") as file:
        for start in range(0, len(documents), 256):
            texts = [document.text for document in documents[start : start + 256]]
            for ids in tokenizer(texts, verbose=False)["input_ids"]:
                np.asarray([*ids, end], dtype=np.uint16).tofile(file)
                total += len(ids) + 1
    return total
