"""How good a head is while it is trained: by decoding with it."""

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedModel

from specdec.data import Sampling, Stop
from specdec.decode import Decoder
from specdec.policies import Dynamic
from specdec.target import Target
from specdec.text import Prompt
from specdec.training.method import Method


def acceptance(
    method: Method, model: PreTrainedModel, prompts: Sequence[Prompt], tokenizer: Any, tokens: int
) -> dict[str, float]:
    """Decode the prompts greedily one by one, and count tokens per pass of the target, over a chain of four and a tree.

    The names are those of `specdec.metrics.Summary`, as transformers' trainer writes metrics.
    """
    figures, was_training = {}, method.training
    method.eval()
    for name, policy in (("eval_acceptance_length", None), ("eval_acceptance_length_tree", Dynamic())):
        total = steps = 0
        for prompt in prompts:
            decoder = Decoder(method.drafter(), Target(model, tokenizer), policy)
            summary = decoder.generate([prompt], Sampling(), Stop(tokens)).metrics
            total, steps = total + summary.tokens, steps + summary.steps
        figures[name] = total / steps if steps else 0.0
    method.train(was_training)
    return figures
