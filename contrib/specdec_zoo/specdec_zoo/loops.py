"""Greedy continuations, and whether they loop."""

from collections.abc import Sequence
from typing import Any

import torch
from specdec.bench import loops
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

NEW_TOKENS = 128
BATCH = 40


def loop_share(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str]) -> float:
    if not prompts:
        raise ValueError("no prompts to measure looping on; run the stage `prompts` first")
    continuations = continue_greedily(model, tokenizer, prompts)
    return sum(map(loops, continuations)) / len(continuations)


def continue_greedily(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[str],
    new_tokens: int = NEW_TOKENS,
) -> list[list[int]]:
    """The tokens after each prompt, without the end-of-text that may close them."""
    continuations: list[list[int]] = []
    tokenizer.padding_side = "left"
    for start in range(0, len(prompts), BATCH):
        inputs = tokenizer(list(prompts[start : start + BATCH]), return_tensors="pt", padding=True)
        ids, mask = inputs["input_ids"].to(model.device), inputs["attention_mask"].to(model.device)
        end = tokenizer.eos_token_id
        fresh = greedy(model, ids, mask, new_tokens, end)[:, ids.shape[1] :].tolist()
        continuations += [row[: row.index(end)] if end in row else row for row in fresh]
    return continuations


@torch.no_grad()
def greedy(model: Any, ids: torch.Tensor, mask: torch.Tensor, new_tokens: int, end: int) -> torch.Tensor:
    """(rows, length) -> (rows, length + new_tokens), or less where every row has reached `end`."""
    settings = {"max_new_tokens": new_tokens, "do_sample": False, "eos_token_id": end}
    texts: torch.Tensor = model.generate(input_ids=ids, attention_mask=mask, **settings)
    return texts
