"""Heads with random weights for tiny targets."""

from functools import cache
from typing import Any

import torch
from transformers import PreTrainedModel

from specdec.heads import TargetParts
from specdec_eagle import Eagle3Config, Eagle3Drafter, Eagle3Model, EagleConfig, EagleDrafter, EagleModel
from tests.toys import build

FAMILIES = ("llama", "qwen2", "qwen3", "mistral")
NAMES = ("eagle", "eagle3")
PART = 40
"""A draft vocabulary smaller than the toys' own."""
KINDS: dict[str, Any] = {"eagle": (EagleConfig, EagleModel, EagleDrafter), "eagle3": (Eagle3Config, Eagle3Model, Eagle3Drafter)}  # fmt: skip  # noqa: E501


@cache
def target(kind: str = "llama") -> PreTrainedModel:
    options = {"sliding_window": 11} if kind == "mistral" else {}
    return build(kind, num_hidden_layers=4, **options)


def head(name: str, model: PreTrainedModel, **options: Any) -> Any:
    """Make a head whose weights are so large that a mistake shows; EAGLE-3's drafts from a part of the vocabulary."""
    if name == "eagle3":
        options.setdefault("draft_vocab_size", PART)
    config, kind, _ = KINDS[name]
    with torch.random.fork_rng():
        torch.manual_seed(5)
        made = kind(config.for_target(model.config, initializer_range=0.3, **options))
        for parameter in made.parameters():
            if parameter.dim() == 1:
                parameter.data += 0.2 * torch.randn_like(parameter)
        if made.reduced:
            made.choose(torch.randperm(made.config.vocab_size)[: made.config.draft_vocab_size].sort().values)
    return made.to(model.dtype).eval().requires_grad_(False)


def drafter(name: str, model: PreTrainedModel, **options: Any) -> EagleDrafter:
    made: EagleDrafter = KINDS[name][2](head(name, model, **options), TargetParts.of(model))
    return made
