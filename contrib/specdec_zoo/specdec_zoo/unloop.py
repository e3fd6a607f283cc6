"""Unlikelihood training on the model's own greedy continuations, so that it loops less (arXiv:1908.04319)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast, set_seed
from transformers.trainer_utils import get_last_checkpoint

from specdec_zoo.loops import greedy
from specdec_zoo.train import Plan, ZooTrainer, run

PREFIX = 128
NEW_TOKENS = 128
ROWS = 10
GRAM = 4
RATE_SHARE = 0.25
WEIGHT = 3.0


def unloop(
    plan: Plan, tokenizer: PreTrainedTokenizerFast, data: Path, trained: Path, folder: Path
) -> ZooTrainer:
    """Goes on from the last checkpoint in `trained`, at a share of its learning rates."""
    set_seed(plan.seed + 1)
    model = LlamaForCausalLM.from_pretrained(get_last_checkpoint(str(trained)), dtype=torch.float32)
    gentle = replace(
        plan,
        stage="unlikelihood",
        seed=plan.seed + 1,
        learning_rate=plan.learning_rate * RATE_SHARE,
        matrix_learning_rate=plan.matrix_learning_rate * RATE_SHARE,
        half_block_share=0.0,
    )
    return run(Unlooper, model, gentle, data, folder)


class Unlooper(ZooTrainer):
    """Each step: the usual loss on a batch of text, plus the unlikelihood of repeats after its prefixes."""

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any) -> torch.Tensor:
        loss = super().training_step(model, inputs, *args)
        ids = inputs["input_ids"].to(self.accelerator.device)
        length = min(PREFIX, ids.shape[1])
        prefixes = ids[:, : ids.shape[1] // length * length].reshape(-1, length)
        rows = torch.randperm(len(prefixes))[:ROWS]
        penalty = unlikelihood(self.accelerator.unwrap_model(model), prefixes[rows])
        self.accelerator.backward(WEIGHT * penalty)
        return loss


def unlikelihood(model: LlamaForCausalLM, prefixes: torch.Tensor) -> torch.Tensor:
    """-log(1 - p) of the tokens that end a repeated n-gram in the greedy continuations, over all tokens."""
    model.eval()
    texts = greedy(model, prefixes, torch.ones_like(prefixes), NEW_TOKENS, end=model.config.vocab_size)
    model.train()
    start = prefixes.shape[1]
    repeated = repeats(texts[:, start:])  # (rows, new)
    logits = model(input_ids=texts[:, :-1], use_cache=False).logits[:, start - 1 :]
    chances = logits.float().softmax(-1).gather(-1, texts[:, start:, None])[..., 0]  # (rows, new)
    return -(torch.log1p(-chances.clamp(max=1 - 1e-5)) * repeated).sum() / repeated.numel()


def repeats(texts: torch.Tensor) -> torch.Tensor:
    """Marks (rows, length) each token that ends an n-gram seen before in its row."""
    grams = texts.unfold(1, GRAM, 1)  # (rows, length - GRAM + 1, GRAM)
    same = (grams[:, :, None] == grams[:, None, :]).all(-1).tril(-1)
    marks = torch.zeros_like(texts, dtype=torch.float32)
    marks[:, GRAM - 1 :] = same.any(-1)
    return marks
