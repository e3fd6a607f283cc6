"""The model card: what a model was trained on, for how long, and how good it is."""

import os
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LlamaConfig

from specdec_zoo import corpus, loops
from specdec_zoo.measure import Quality
from specdec_zoo.schedule import DECAY_SHARE


@dataclass(frozen=True)
class Training:
    """One stage of training, from the records of its run."""

    stage: str
    steps: int
    tokens: int
    context: int
    minutes: float


def write(
    name: str,
    config: LlamaConfig,
    parameters: int,
    corpus_record: dict[str, Any],
    training: list[Training],
    quality: Quality,
) -> str:
    """The text of README.md."""
    train, held_out = corpus_record["train"], corpus_record["held_out"]
    stages = "\n".join(
        f"| {stage.stage} | {stage.steps:,} | {stage.tokens:,} | {stage.context} | {stage.minutes:.0f} min |"
        for stage in training
    )
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---

# specdec-zoo {name}

A {config.num_hidden_layers}-layer Llama of {parameters:,} parameters (hidden size {config.hidden_size},
{config.num_attention_heads} heads, {config.num_key_value_heads} key-value heads, tied embeddings,
{config.vocab_size:,} tokens), trained from scratch on Python source. It is the {name} of a pair for trying
out speculative decoding without a model hub; it is not meant for writing code. Stored in float16; loads as
float32 unless told otherwise.

## Corpus

The `.py` files of Python's standard library and of installed packages.

| | files | bytes | tokens |
|---|---|---|---|
| training | {train["files"]:,} | {train["bytes"]:,} | {train["tokens"]:,} |
| held out | {held_out["files"]:,} | {held_out["bytes"]:,} | {held_out["tokens"]:,} |

* Held out: files whose path, relative to its library folder, has a SHA-256 hash that is below
  {corpus.HELD_OUT_PERCENT} modulo 100. No model and no tokenizer was trained on them.
* Identical files count once; vendored copies of packages are left out. Passages that packages copy from one
  another, as licence headers, do occur on both sides.
* Left out as data-like: files under {corpus.MIN_BYTES} or over {corpus.MAX_BYTES:,} bytes, files that zlib
  compresses below {corpus.MIN_COMPRESSED_SHARE:.0%} of their size, files of more than
  {corpus.MAX_DIGIT_SHARE:.0%} digits.
* At most {corpus_record["package_cap_bytes"]:,} training bytes of each top-level package or module.

## Training

| stage | steps | tokens seen | longest context | wall time |
|---|---|---|---|---|
{stages}

From random weights, on the next token of packed files, separated by end-of-text. Matrices are trained with
Muon, all else with AdamW; the learning rate warms up, stays, and decays to zero over the last
{DECAY_SHARE:.0%} of a stage. The stage `unlikelihood`, where there is one, adds the unlikelihood of repeated
4-grams in the model's own greedy continuations (arXiv:1908.04319). No context in training was longer than
the column says.

Hardware: {hardware()}. Made with the recipe in `specdec_zoo`.

## Quality

* Held-out loss: {quality.nats_per_token:.3f} nats per token, {quality.bits_per_byte:.3f} bits per byte, over
  {quality.tokens:,} tokens.
* Looping: {quality.loop_share:.1%} of {quality.prompts} held-out prompts have a greedy continuation of
  {loops.NEW_TOKENS} tokens that loops (fewer than half of its 8-grams are distinct).
"""


def hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} CPU cores, one thread used"
