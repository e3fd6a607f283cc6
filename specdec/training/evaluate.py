"""How good a head is while it is trained: by decoding with it."""

from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from transformers import PreTrainedModel

from specdec.decode import Decoder
from specdec.interfaces import TreePolicy
from specdec.options import Sampling, Stop
from specdec.policies import Chain, Dynamic
from specdec.target import Target
from specdec.text import Prompt
from specdec.training.method import TrainingMethod

POLICIES: dict[str, TreePolicy] = {"eval_acceptance_length": Chain(), "eval_acceptance_length_tree": Dynamic()}


def acceptance(
    method: TrainingMethod,
    model: PreTrainedModel,
    prompts: Sequence[Prompt],
    tokenizer: Any,
    tokens: int,
    accelerator: Accelerator,
) -> dict[str, float]:
    """Decode the prompts greedily one by one, and count tokens per pass of the target, over a chain of four and a tree.

    Several processes share the prompts. The names are those of `specdec.metrics.Summary`, as transformers' trainer
    writes metrics.
    """
    own = prompts[accelerator.process_index :: accelerator.num_processes]
    was_training = method.training
    method.eval()
    counts = [_counts(Decoder(method.drafter(), Target(model, tokenizer), p), own, tokens) for p in POLICIES.values()]
    method.train(was_training)
    summed: Any = accelerator.reduce(torch.tensor(counts, device=accelerator.device), "sum")
    return {name: total / max(steps, 1) for name, (total, steps) in zip(POLICIES, summed.tolist(), strict=True)}


def _counts(decoder: Decoder, prompts: Sequence[Prompt], tokens: int) -> tuple[int, int]:
    """Count tokens and steps."""
    runs = [decoder.generate([prompt], Sampling(), Stop(tokens)).metrics for prompt in prompts]
    return sum(run.tokens for run in runs), sum(run.steps for run in runs)
