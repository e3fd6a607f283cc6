"""The law asked for, at each node: what plain decoding would draw from at that prefix."""

from collections.abc import Callable
from functools import lru_cache
from math import isfinite

import numpy as np
import torch
from attrs import frozen
from jaxtyping import Float, Int
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from specdec.chance import Chance, Dice, Probs
from specdec.errors import NonFiniteLogits
from specdec.options import Sampling
from specdec.tree import Tree


@lru_cache(maxsize=256)
def processors(sampling: Sampling) -> LogitsProcessorList:
    """List transformers' own processors for these options, in the order in which `generate` applies them."""
    chain = LogitsProcessorList()
    if sampling.repetition_penalty != 1.0:
        chain.append(RepetitionPenaltyLogitsProcessor(float(sampling.repetition_penalty)))
    chain.extend(sampling.processors)
    if sampling.temperature not in (0, 1):
        chain.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.temperature > 0 and sampling.top_k is not None:
        chain.append(TopKLogitsWarper(sampling.top_k))
    if sampling.temperature > 0 and sampling.top_p is not None and sampling.top_p < 1:
        chain.append(TopPLogitsWarper(float(sampling.top_p)))
    if sampling.temperature > 0 and sampling.min_p is not None:
        chain.append(MinPLogitsWarper(float(sampling.min_p)))
    return chain


@frozen(eq=False)
class Prefix:
    """The decided tokens of one sequence, the root included, and how what follows them is sampled."""

    tokens: list[int]
    sampling: Sampling
    chance: Chance

    @property
    def dice(self) -> Dice:
        """The chances of the coming step."""
        return Dice(self.chance, self.sampling.seed, len(self.tokens) - 1)

    def probs(self, tree: Tree, logits: Float[Tensor, "N V"]) -> Callable[[int], Probs]:
        """Give a function from a node to what the target says after it; `logits` are those of the tree's nodes."""

        def probs(node: int) -> Probs:
            path = [tree.tokens[step] for step in tree.path(node)]
            return law(self.sampling, torch.tensor(self.tokens + path), logits[node])

        return probs


def law(sampling: Sampling, history: Int[Tensor, " T"], logits: Float[Tensor, " V"]) -> Probs:
    """Turn logits into probabilities; one-hot at temperature 0, where equal scores go to the lowest id.

    Raises:
        NonFiniteLogits: NaN or positive infinity, in the model's logits or in what a processor made of them.
    """
    scores = logits if logits.dtype == torch.float64 else logits.float()
    likeliest = _likeliest(scores, history, "the model's logits")
    chain = processors(sampling)
    if chain:
        scores = chain(history.to(scores.device)[None], scores.clone()[None])[0]
        likeliest = _likeliest(scores, history, "the processed logits")
    if sampling.temperature > 0:
        probabilities: Probs = scores.softmax(-1).cpu().numpy()
        return probabilities
    certain = np.zeros(scores.shape[-1], dtype=np.float32)
    certain[likeliest] = 1
    return certain


def _likeliest(scores: Float[Tensor, " V"], history: Int[Tensor, " T"], what: str) -> int:
    """Find the first token of the highest score, and check that score."""
    row = scores.cpu().numpy()
    token = int(row.argmax())  # of a NaN if there is any
    if not isfinite(row[token]):
        raise NonFiniteLogits(
            f"expected {what} at position {len(history)} to be finite somewhere and nowhere NaN or infinite, "
            f"got a largest of {row[token]}"
        )
    return token
