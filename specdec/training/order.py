"""The order in which a pass reads the texts."""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices


class ByLength(Sampler[int]):
    """Texts of about the same length side by side, so that a batch has little padding; the batches are shuffled."""

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        self._lengths, self._batch, self._seed, self._epoch = list(lengths), batch, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Say which pass is next: each has an order of its own, the same whenever it is asked for."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        grouped = get_length_grouped_indices(self._lengths, self._batch, generator=generator)
        batches = [grouped[start : start + self._batch] for start in range(0, len(grouped), self._batch)]
        whole = len(grouped) // self._batch
        for place in torch.randperm(whole, generator=generator).tolist():
            yield from batches[place]
        for last in batches[whole:]:  # a batch that is not full stays last
            yield from last
