"""Heads with random weights for tiny targets."""

from functools import cache

import torch
from transformers import PreTrainedModel

from specdec.heads import TargetParts
from specdec_moa import MoAConfig, MoADrafter, MoAModel
from tests.toys import build

FAMILIES = ("llama", "qwen2", "qwen3", "mistral")


@cache
def target(kind: str = "llama") -> PreTrainedModel:
    options = {"sliding_window": 11} if kind == "mistral" else {}
    return build(kind, num_hidden_layers=4, **options)


def head(model: PreTrainedModel, **options: object) -> MoAModel:
    config = MoAConfig.for_target(model.config, initializer_range=0.3, **options)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        made = MoAModel(config).to(model.dtype).eval().requires_grad_(False)
        if made.reduced:
            made.choose(torch.randperm(config.vocab_size)[: config.draft_vocab_size].sort().values)
        return made


def drafter(model: PreTrainedModel, tli: int = 0, cut: str = "projected", **options: object) -> MoADrafter:
    return MoADrafter(head(model, **options), TargetParts.of(model, tli), cut)
