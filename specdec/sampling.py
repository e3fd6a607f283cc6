"""What plain decoding would choose from at a prefix: transformers' own processors, in `generate`'s order."""

from collections.abc import Sequence
from copy import deepcopy
from math import isfinite

import torch
from attrs import asdict, evolve, frozen
from jaxtyping import Float, Int, Num
from torch import Tensor
from transformers import LogitNormalization, LogitsProcessor, LogitsProcessorList, TopPLogitsWarper

from specdec.chance import Probs
from specdec.errors import NonFiniteLogits, OptionError
from specdec.options import Sampling
from specdec.processors import SPANNED, build
from specdec.transfer import upload


class StableTopP(TopPLogitsWarper):
    """Top-p that keeps the lowest ids of equal scores; transformers' own sorts them in no order."""

    def __call__(self, input_ids: Tensor | None, scores: Float[Tensor, "N V"]) -> Float[Tensor, "N V"]:
        rising, order = scores.flip(-1).sort(stable=True)
        cut = rising.softmax(-1).cumsum(-1) <= 1 - self.top_p
        cut[:, -self.min_tokens_to_keep :] = False
        return scores.masked_fill(cut.scatter(-1, order, cut).flip(-1), self.filter_value)


@frozen(eq=False)
class Processing:
    """What is done to the logits of one sequence: by what looks at the tokens before, then by what cuts."""

    processors: LogitsProcessorList
    filters: LogitsProcessorList

    @classmethod
    def of(cls, sampling: Sampling, device: torch.device | None = None) -> "Processing":
        """Build it from options; a processor of the user's takes the place of one of its own type, as in `generate`.

        Raises:
            OptionError: an option needs to know where the text begins and ends, which `Decoder` says.
        """
        options, span = sampling.processing, sampling.span
        if span is None and (spanned := sorted(SPANNED & options.keys())):
            raise OptionError(f"expected a Sampling with a span, as Decoder makes it, for {spanned[0]}; got none")
        where = {} if span is None else asdict(span, recurse=False)
        own: dict[type, LogitsProcessor] = {type(one): one for one in reversed(sampling.processors)}
        built = build(options, device, **where) if options else []
        processors = [own.get(type(one), one) for one in built]
        placed = set(map(id, processors))
        processors += [one for one in sampling.processors if id(one) not in placed]
        processors.sort(key=lambda one: isinstance(one, LogitNormalization))  # `generate` has it last
        return cls(LogitsProcessorList(processors), _filters(sampling, device))

    def copied(self, sampling: Sampling) -> "Processing":
        """Copy the processors that the user brought, with what they remember.

        Raises:
            OptionError: one cannot be copied.
        """
        own = set(map(id, sampling.processors))
        try:
            copies = [deepcopy(one) if id(one) in own else one for one in self.processors]
        except Exception as error:
            raise OptionError(f"expected processors that can be copied, got {sampling.processors}: {error}") from error
        return evolve(self, processors=LogitsProcessorList(copies))


def scores(
    sampling: Sampling,
    history: Sequence[int] | Sequence[Sequence[int]] | None,
    logits: Float[Tensor, "*N V"],
    processing: Processing | None = None,
) -> Float[Tensor, "*N V"]:
    """Process logits after a history, the token before them included, but do not divide by the temperature.

    A token is chosen by `scores + temperature * noise`. What is cut at the temperature is minus infinity. Where the
    largest is not finite there is nothing to choose: see `require_finite`. The history is that of all N, or one for
    each, of equal lengths; it may be None unless `uses_history`. `processing` is the sequence's own, built from the
    sampling unless given.

    Raises:
        OptionError: a processor gives no score for each token.
    """
    rows = _wide(logits).reshape(-1, logits.shape[-1])
    if processing is None:
        processing = Processing.of(sampling, logits.device)
    if processing.processors:
        tokens = upload(rows.device, torch.tensor(history))[0].expand(len(rows), -1)
        usable = rows.amax(-1, keepdim=True).isfinite()
        if sampling.processors and not usable.any():  # one that remembers is not asked, for the step may be repeated
            return torch.full_like(logits, torch.nan)
        rows = _wide(_processed(processing.processors, tokens, rows)).where(usable, torch.nan)
    if processing.filters:
        tempered = processing.filters(None, rows / float(sampling.temperature))
        rows = rows.where(tempered.isfinite(), tempered)
    return rows.view_as(logits)


def probs(
    sampling: Sampling, history: Sequence[int], logits: Float[Tensor, " V"], processing: Processing | None = None
) -> Probs:
    """Turn logits into probabilities; one-hot at temperature 0, where equal scores go to the lowest id.

    Raises:
        NonFiniteLogits: NaN or positive infinity, in the model's logits or in what a processor made of them.
    """
    row = scores(sampling, history, logits, processing)
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
    return bool(sampling.processors or sampling.processing)


def plain(sampling: Sampling) -> bool:
    """Whether scores are the logits themselves, in at least single precision: nothing is processed or cut."""
    return not (uses_history(sampling) or sampling.filtering)


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


def _filters(sampling: Sampling, device: torch.device | None) -> LogitsProcessorList:
    """Build what cuts unlikely tokens, when sampling."""
    built = build(sampling.filtering, device) if sampling.filtering else []
    return LogitsProcessorList(
        StableTopP(one.top_p, one.filter_value, one.min_tokens_to_keep) if type(one) is TopPLogitsWarper else one
        for one in built
    )


def _processed(
    processors: LogitsProcessorList, tokens: Int[Tensor, "N T"], rows: Float[Tensor, "N V"]
) -> Num[Tensor, "N V"]:
    processed: object = processors(tokens, rows.clone())
    if not isinstance(processed, Tensor) or processed.shape != rows.shape:
        got = list(processed.shape) if isinstance(processed, Tensor) else type(processed).__name__
        raise OptionError(f"expected processors to give scores of shape {list(rows.shape)}, got {got}")
    return processed


def _wide(rows: Num[Tensor, "*N V"]) -> Float[Tensor, "*N V"]:
    """Make at least single precision of what a model or a processor gives."""
    return rows if rows.dtype == torch.float64 else rows.float()
