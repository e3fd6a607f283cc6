"""What plain decoding would choose from at a prefix: transformers' own processors, in `generate`'s order."""

from collections.abc import Sequence
from math import isfinite

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from specdec.chance import Probs
from specdec.errors import NonFiniteLogits
from specdec.options import Sampling


class StableTopP(TopPLogitsWarper):
    """Top-p that keeps the lowest ids of equal scores; transformers' own sorts them in no order."""

    def __call__(self, input_ids: Tensor | None, scores: Float[Tensor, "N V"]) -> Float[Tensor, "N V"]:
        rising, order = scores.flip(-1).sort(stable=True)
        cut = rising.softmax(-1).cumsum(-1) <= 1 - self.top_p
        cut[:, -self.min_tokens_to_keep :] = False
        return scores.masked_fill(cut.scatter(-1, order, cut).flip(-1), self.filter_value)


def scores(sampling: Sampling, history: Sequence[int] | None, logits: Float[Tensor, "*N V"]) -> Float[Tensor, "*N V"]:
    """Process logits after a history, the token before them included, but do not divide by the temperature.

    A token is chosen by `scores + temperature * noise`. What top-k, top-p and min-p cut at the temperature is
    minus infinity. Where the largest is not finite there is nothing to choose: see `require_finite`. The history is
    that of all N, and may be None unless `uses_history`.
    """
    rows = (logits if logits.dtype == torch.float64 else logits.float()).reshape(-1, logits.shape[-1])
    if processors := _processors(sampling):
        tokens = torch.tensor(history, device=rows.device).expand(len(rows), -1)
        usable = rows.amax(-1, keepdim=True).isfinite()
        rows = processors(tokens, rows.clone()).where(usable, torch.nan)
    if filters := _filters(sampling):
        tempered = rows / float(sampling.temperature)
        for keep_likely in filters:
            tempered = keep_likely(None, tempered)
        rows = rows.where(tempered.isfinite(), tempered)
    return rows.view_as(logits)


def probs(sampling: Sampling, history: Sequence[int], logits: Float[Tensor, " V"]) -> Probs:
    """Turn logits into probabilities; one-hot at temperature 0, where equal scores go to the lowest id.

    Raises:
        NonFiniteLogits: NaN or positive infinity, in the model's logits or in what a processor made of them.
    """
    row = scores(sampling, history, logits)
    if sampling.temperature > 0:
        row = row / float(sampling.temperature)
    likeliest = row.argmax()  # of a NaN if there is any
    require_finite(row[likeliest].item(), logits, len(history))
    if sampling.temperature > 0:
        row = row.softmax(-1)
    else:
        row = torch.zeros_like(row).index_fill(0, likeliest, 1)
    probabilities: Probs = row.cpu().numpy()
    return probabilities


def uses_history(sampling: Sampling) -> bool:
    """Whether scores depend on the tokens before: those of each node must then be processed by themselves."""
    return bool(_processors(sampling))


def plain(sampling: Sampling) -> bool:
    """Whether scores are the logits themselves, in at least single precision: nothing is processed or cut."""
    return not (_processors(sampling) or _filters(sampling))


def require_finite(chosen: float, logits: Float[Tensor, " V"], position: int) -> None:
    """Check the score of the token chosen for a position, which is a NaN if any is.

    Raises:
        NonFiniteLogits: it is not finite.
    """
    if isfinite(chosen):
        return
    largest = logits.max().item()
    what, value = ("processed", chosen) if isfinite(largest) else ("model's", largest)
    raise NonFiniteLogits(
        f"expected the {what} logits at position {position} to be finite somewhere and nowhere NaN or infinite, "
        f"got a largest of {value}"
    )


def _processors(sampling: Sampling) -> LogitsProcessorList:
    """List what looks at the tokens before. Made for each use: it costs less than to look it up safely."""
    processors = LogitsProcessorList(sampling.processors)
    if sampling.repetition_penalty != 1.0:
        processors.insert(0, RepetitionPenaltyLogitsProcessor(float(sampling.repetition_penalty)))
    return processors


def _filters(sampling: Sampling) -> LogitsProcessorList:
    """List what cuts unlikely tokens, when sampling."""
    filters = LogitsProcessorList()
    if sampling.temperature > 0 and sampling.top_k is not None:
        filters.append(TopKLogitsWarper(sampling.top_k))
    if sampling.temperature > 0 and sampling.top_p is not None and sampling.top_p < 1:
        filters.append(StableTopP(float(sampling.top_p)))
    if sampling.temperature > 0 and sampling.min_p is not None:
        filters.append(MinPLogitsWarper(float(sampling.min_p)))
    return filters
