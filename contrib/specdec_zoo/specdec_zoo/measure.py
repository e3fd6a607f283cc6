"""What the model card states about a model, measured."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from specdec_zoo.dataset import Blocks
from specdec_zoo.loops import loop_share


@dataclass(frozen=True)
class Quality:
    """On held-out files: the loss, in two units, and the share of prompts whose continuation loops."""

    nats_per_token: float
    bits_per_byte: float
    tokens: int
    loop_share: float
    prompts: int


def quality(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    held_out: Blocks,
    bytes_per_token: float,
    prompts: Sequence[str],
) -> Quality:
    model.eval()
    loss, tokens = _loss(model, held_out)
    return Quality(
        nats_per_token=loss,
        bits_per_byte=loss / math.log(2) / bytes_per_token,
        tokens=tokens,
        loop_share=loop_share(model, tokenizer, prompts),
        prompts=len(prompts),
    )


def _loss(model: LlamaForCausalLM, blocks: Blocks) -> tuple[float, int]:
    total, tokens = 0.0, 0
    with torch.inference_mode():
        for batch in DataLoader(blocks, batch_size=8):
            ids = batch["input_ids"].to(model.device)
            predicted = ids[:, 1:].numel()
            total += predicted * model(input_ids=ids, labels=ids, use_cache=False).loss.item()
            tokens += predicted
    return total / tokens, tokens
