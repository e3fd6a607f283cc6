"""What the texts must equal: transformers' own `generate`, and a plain loop that shares no code with specdec."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    PreTrainedModel,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from specdec import Decoder, Sampling, Stop, Target
from specdec.drafters import NoDrafter


def generate(
    model: PreTrainedModel, prompt: Sequence[int], count: int, sampling: Sampling, **options: Any
) -> list[int]:
    """What transformers' `generate` says greedily."""
    ids = torch.tensor([list(prompt)])
    said: Any = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=count,
        repetition_penalty=sampling.repetition_penalty,
        logits_processor=LogitsProcessorList(sampling.processors),
        **options,
    )
    new: list[int] = said[0, len(prompt) :].tolist()
    return new


@cache
def decode_plainly(model: PreTrainedModel, prompt: tuple[int, ...], sampling: Sampling, count: int) -> tuple[int, ...]:
    """What specdec says of one prompt alone, without a drafter."""
    decoder = Decoder(NoDrafter(), Target(model))
    return decoder.generate([list(prompt)], [sampling], Stop(count, tokens=())).tokens[0]


def loop(model: PreTrainedModel, prompt: Sequence[int], count: int, sampling: Sampling) -> list[int]:
    """Decode one token at a time: the whole prefix each time, no cache, transformers' own processors, one race."""
    tokens = list(prompt)
    for _ in range(count):
        ids = torch.tensor([tokens])
        with torch.no_grad():
            logits = model(ids, use_cache=False).logits[:, -1]
        scores = _process(sampling, ids, logits)
        if sampling.temperature == 0:
            tokens.append(int(scores.argmax()))
            continue
        noise = gumbels(sampling.seed, len(tokens), scores.shape[-1])
        tokens.append(int((scores[0].double().numpy() + noise).argmax()))
    return tokens[len(prompt) :]


def _process(sampling: Sampling, ids: Tensor, logits: Tensor) -> Tensor:
    warm = sampling.temperature > 0
    chain = LogitsProcessorList()
    if sampling.repetition_penalty != 1:
        chain.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    chain.extend(sampling.processors)
    if warm:
        chain.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if warm and sampling.top_k:
        chain.append(TopKLogitsWarper(sampling.top_k))
    if warm and sampling.top_p:
        chain.append(TopPLogitsWarper(sampling.top_p))
    if warm and sampling.min_p:
        chain.append(MinPLogitsWarper(sampling.min_p))
    processed: Tensor = chain(ids, logits.clone())
    return processed


def words(seed: int, position: int, size: int, *, node: int = 0, purpose: int = 0) -> np.ndarray:
    """The words that `specdec.chance` documents, from numpy's Philox alone."""
    long = np.random.Philox(key=seed + (position << 64), counter=[0, node, purpose, 0]).random_raw((size + 1) // 2)
    return np.stack([long & 0xFFFFFFFF, long >> 32], 1).reshape(-1)[:size].astype(np.uint32)  # the low half first


def gumbels(seed: int, position: int, size: int, *, node: int = 0, purpose: int = 0) -> np.ndarray:
    """Their Gumbel noise, by double precision's logarithms."""
    single = words(seed, position, size, node=node, purpose=purpose).astype(np.float32)
    v = np.minimum((single + np.float32(0.5)) * np.float32(2.0**-32), np.float32(1 - 2.0**-24))
    return -np.log(-np.log1p(-v.astype(np.float64)))
