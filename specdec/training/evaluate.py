"""How good a head is while it is trained: by decoding with it."""

from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from transformers import PreTrainedModel

from specdec.decode import Decoder
from specdec.errors import OptionError
from specdec.interfaces import TreePolicy
from specdec.options import Sampling, Stop
from specdec.policies import Chain, Dynamic
from specdec.target import Target
from specdec.text import Prompt, encode
from specdec.training.method import TrainingMethod

POLICIES: dict[str, TreePolicy] = {"acceptance_length": Chain(), "acceptance_length_tree": Dynamic()}


def check_room(model: PreTrainedModel, prompts: Sequence[Prompt], tokenizer: Any, tokens: int) -> None:
    """Check that so many tokens fit after each prompt, before any time is spent.

    Raises:
        OptionError: the message says after which they do not.
    """
    room = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    for number, prompt in enumerate(prompts, 1):
        length = len(encode(prompt, tokenizer))
        if room is not None and length + tokens > room:
            raise OptionError(
                f"expected eval_tokens that fit the target's {room} positions after question {number}, "
                f"which has {length} tokens, got {tokens}"
            )


def acceptance(
    method: TrainingMethod,
    model: PreTrainedModel,
    prompts: Sequence[Prompt],
    tokenizer: Any,
    tokens: int,
    accelerator: Accelerator,
) -> dict[str, float]:
    """Decode the prompts greedily one by one, and count tokens per pass of the target, over a chain of four and a tree.

    Several processes share the prompts. The names are those of `specdec.metrics.Summary`.
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
