"""transformers' own `generate` as contenders: plain, with an assistant, with prompt lookup."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.generation.streamers import BaseStreamer

from specdec.bench.contender import Clock, Contender, Trace
from specdec.errors import OptionError
from specdec.options import Sampling
from specdec.target import Target

HF, ASSISTED, LOOKUP = "hf", "hf-assisted", "hf-lookup"
PEERS = (HF, ASSISTED, LOOKUP)
LOOKUP_TOKENS = 10
"""Tokens that prompt lookup drafts, as transformers' documentation has it."""


class Peer(Contender):
    """`generate` of the target's own model, with the same sampling options but its own random numbers.

    Its steps are passes of the target. `draft` is the time inside the assistant's passes, `verify` inside the target's,
    the first of which reads the prompt; on a GPU these are the times to launch them.
    """

    def __init__(
        self,
        name: str,
        target: Target,
        assistant: PreTrainedModel | None = None,
        lookup: int | None = None,
        clock: Clock = perf_counter,
    ) -> None:
        """Use the target's model; `lookup` is how many tokens to look up in the prompt."""
        if lookup is not None and lookup < 1:
            raise OptionError(f"expected {name} to look up at least 1 token, got {lookup}")
        self.name, self.target, self.assistant, self.clock = name, target, assistant, clock
        self.parameters = 0 if assistant is None else sum(weight.numel() for weight in assistant.parameters())
        self._drafting: dict[str, Any] = {}
        if assistant is not None:
            self._drafting["assistant_model"] = assistant
        if lookup is not None:
            self._drafting["prompt_lookup_num_tokens"] = lookup

    def shares_noise(self, temperature: int | float) -> bool:
        return temperature == 0

    def decode(self, prompt: Sequence[int], sampling: Sampling, max_tokens: int) -> Trace:
        model, pieces = self.target.model, Pieces()
        ids = torch.tensor([list(prompt)], device=model.device)
        settings = _settings(sampling, max_tokens, self.target.end_tokens) | self._drafting
        watches = watched(model, self.clock), watched(self.assistant, self.clock)
        with torch.random.fork_rng(), watches[0] as verify, watches[1] as draft:
            torch.manual_seed(sampling.seed % 2**63)
            start = self.clock()
            said: Any = model.generate(ids, attention_mask=torch.ones_like(ids), streamer=pieces, **settings)
            seconds = self.clock() - start
        tokens = said[0, len(prompt) :].tolist()
        lengths = pieces.lengths[1:]  # the first is the prompt
        accepted = tuple(length - 1 for length in lengths)
        return Trace(tuple(tokens), seconds, tuple(lengths), accepted, sum(draft), sum(verify))


class Pieces(BaseStreamer):
    """Counts the tokens of each step, as `generate` hands them out."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def put(self, value: Tensor) -> None:
        """Take the tokens of a step, or the prompt."""
        self.lengths.append(value.numel())

    def end(self) -> None:
        """There are no more."""


@contextmanager
def watched(model: PreTrainedModel | None, clock: Clock) -> Iterator[list[float]]:
    """Give the seconds of each pass of a model."""
    starts, seconds = list[float](), list[float]()
    if model is None:
        yield seconds
        return
    before = model.register_forward_pre_hook(lambda *_: starts.append(clock()))
    after = model.register_forward_hook(lambda *_: seconds.append(clock() - starts.pop()))
    try:
        yield seconds
    finally:
        before.remove()
        after.remove()


def _settings(sampling: Sampling, max_tokens: int, end_tokens: Sequence[int]) -> dict[str, Any]:
    """Say to `generate` what `Sampling` and `Stop` say to a decoder."""
    settings: dict[str, Any] = {"max_new_tokens": max_tokens, "do_sample": sampling.temperature > 0}
    if end_tokens:
        settings |= {"eos_token_id": list(end_tokens), "pad_token_id": end_tokens[0]}
    if sampling.temperature > 0:
        settings |= {"temperature": float(sampling.temperature), "top_k": 0, "top_p": 1.0}
    return settings
