"""transformers' own `generate` as bench entries: plain, with an assistant, with prompt lookup."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel
from transformers.generation.streamers import BaseStreamer

from specdec.bench.entry import Clock, Entry, Stopwatch, Trace
from specdec.errors import OptionError
from specdec.options import Sampling
from specdec.plugins import plugins
from specdec.processors import as_lists
from specdec.spec import Spec, as_annotated
from specdec.target import Target
from specdec.target.half import is_packed
from specdec.target.loading import load_model

HF, ASSISTED, LOOKUP = "hf", "hf-assisted", "hf-lookup"
PEERS = (HF, ASSISTED, LOOKUP)
LOOKUP_TOKENS = 10
"""Tokens that prompt lookup drafts, as transformers' documentation has it."""


class Peer(Entry):
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
        model: PreTrainedModel | None = None,
    ) -> None:
        """Use the target's model, or another copy; `lookup` is how many tokens to look up in the prompt."""
        if lookup is not None and (type(lookup) is not int or lookup < 1):
            raise OptionError(f"expected {name} to look up at least 1 token, got {lookup!r}")
        self.name, self.target, self.assistant, self.clock = name, target, assistant, clock
        self.model = model or target.model
        self.parameters = 0 if assistant is None else sum(weight.numel() for weight in assistant.parameters())
        drafting = {"assistant_model": assistant, "prompt_lookup_num_tokens": lookup}
        self._drafting = {option: value for option, value in drafting.items() if value is not None}

    @classmethod
    def load(
        cls, spec: Spec, target: Target, clock: Clock = perf_counter, model: PreTrainedModel | None = None
    ) -> "Peer":
        """Make one from `hf`, `hf-assisted:PATH` or `hf-lookup[:tokens=N]`, sharing the `model` of another.

        Raises:
            OptionError: it has no such option, or is given a path that it does not take, or needs one.
        """
        options = dict(spec.options)
        lookup = as_annotated(options.pop("tokens", str(LOOKUP_TOKENS)), None) if spec.name == LOOKUP else None
        if options:
            raise OptionError(f"expected {spec.name} without the option {next(iter(options))!r}, got {spec.text!r}")
        if (spec.path is None) == (spec.name == ASSISTED):
            expected = f"{spec.name}:PATH" if spec.path is None else f"{spec.name} without a path"
            raise OptionError(f"expected {expected}, got {spec.text!r}")
        folder, device = plugins().folder(spec.path), target.model.device
        assistant = None if folder is None else load_model(folder, device, weights="full").eval()
        return cls(spec.text, target, assistant, lookup, clock, model or _as_loaded_by_transformers(target))

    def shares_noise(self, temperature: int | float) -> bool:
        return temperature == 0

    def decode(self, prompt: Sequence[int], sampling: Sampling, max_tokens: int) -> Trace:
        model, streamer = self.model, StepLengths()
        ids = torch.tensor([list(prompt)], device=model.device)
        config = _config(sampling, max_tokens, self.target.end_tokens)
        whole, verify, draft = (Stopwatch(self.clock) for _ in range(3))
        with _decoded_by(model, config), torch.random.fork_rng(), verify.around(model), draft.around(self.assistant):
            torch.manual_seed(sampling.seed % 2**63)
            with whole:
                row: Any = model.generate(ids, attention_mask=torch.ones_like(ids), streamer=streamer, **self._drafting)
        tokens = tuple(row[0, len(prompt) :].tolist())
        lengths = tuple(streamer.lengths[1:])  # the first is the prompt
        accepted = tuple(length - 1 for length in lengths)
        return Trace(tokens, whole.seconds, lengths, accepted, draft.seconds, verify.seconds)


def _as_loaded_by_transformers(target: Target) -> PreTrainedModel:
    """Give the target's model, or a copy with full weights where specdec reads them in half precision."""
    model = target.model
    return load_model(model.name_or_path, model.device, weights="full").eval() if is_packed(model) else model


class StepLengths(BaseStreamer):
    """Counts the tokens of each step, as `generate` hands them out."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def put(self, value: Tensor) -> None:
        """Take the tokens of a step, or the prompt."""
        self.lengths.append(value.numel())

    def end(self) -> None:
        """There are no more."""


def _config(sampling: Sampling, max_tokens: int, end_tokens: Sequence[int]) -> GenerationConfig:
    """Say to `generate` what `Sampling` and `Stop` say to a decoder, and nothing else."""
    settings: dict[str, Any] = {"max_new_tokens": max_tokens, "do_sample": sampling.temperature > 0}
    if end_tokens:
        settings |= {"eos_token_id": list(end_tokens), "pad_token_id": end_tokens[0]}
    if sampling.temperature > 0:
        settings |= {"temperature": float(sampling.temperature), "top_k": 0} | sampling.filtering
    return GenerationConfig(**settings, **as_lists(sampling.processing))


@contextmanager
def _decoded_by(model: PreTrainedModel, config: GenerationConfig) -> Iterator[None]:
    """Have `generate` follow this config alone, not what the model's own adds to it."""
    before = model.generation_config
    model.generation_config = config
    try:
        yield
    finally:
        model.generation_config = before
