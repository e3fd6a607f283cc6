"""Heads: drafters that read what the target computes, all trained on the same tokens in the same batches.

`medusa` needs the package of that plugin.
"""

from pathlib import Path

import numpy as np
from specdec.training import Example, Examples, TrainingMethod, load_method
from specdec.training.trainer import HeadTrainer, Plan
from transformers import LlamaForCausalLM, set_seed

from specdec_zoo import head_card, path, tokenizer
from specdec_zoo.dataset import Blocks
from specdec_zoo.head import BATCH, LENGTH, Head

LONG, SHORT = 4_000_000, 300_000


def moa_sizes(heads: int, layers: int, tokens: int) -> str:
    """Attend over layers with so many heads, and widen by so much there and in the blocks over tokens."""
    return (
        f"layer_self_attention_num_attention_heads={heads}+layer_self_attention_intermediate_size={layers}"
        f"+self_attention_intermediate_size={tokens}+cross_attention_intermediate_size={tokens}"
    )


SIZES = moa_sizes(1, 40, 376)
"""Less for layers and more for tokens than published (4, 240 and 240): a fifth less work in training."""

# Ablations have the published proportions, and see the same tokens, fewer than the best.
# `ablation-eagle-wide` is as large as `ablation-moa`.
HEADS = {
    "moa": Head("moa", {"sizes": SIZES}, tokens=LONG),
    "moa-tli1": Head("moa", {"tli": 1, "sizes": SIZES}, tokens=LONG),
    "eagle": Head("eagle", tokens=LONG),
    "eagle3": Head("eagle3", {"copied": True}, tokens=LONG),
    "medusa": Head("medusa", rate=1e-3, tokens=LONG),
    "ablation-moa": Head("moa"),
    "ablation-tli1": Head("moa", {"tli": 1}),
    "ablation-tli2": Head("moa", {"tli": 2}),
    "ablation-without-lsa": Head("moa", {"lsa": False}),
    "ablation-without-blocks": Head("moa", {"block": "none"}),
    "ablation-eagle": Head("eagle"),
    "ablation-eagle-wide": Head("eagle", {"sizes": "intermediate_size=908"}),
}
SEARCH = {
    "search-moa": Head("moa", tokens=SHORT),
    "search-moa-vocabulary": Head("moa", {"vocabulary": 1.0}, tokens=SHORT),
    "search-moa-little-feature": Head("moa", {"vocabulary": 1.0, "feature": 0.1}, tokens=SHORT),
    "search-moa-short": Head("moa", {"shortest": 3, "longest": 8}, tokens=SHORT),
    "search-moa-long": Head("moa", {"shortest": 10, "longest": 20}, tokens=SHORT),
    "search-moa-no-stairs": Head("moa", {"staircase": 0.0}, tokens=SHORT),
    "search-moa-narrow": Head("moa", {"sizes": moa_sizes(4, 80, 320)}, tokens=SHORT),
    "search-moa-four-heads": Head("moa", {"sizes": moa_sizes(4, 40, 320)}, tokens=2 * SHORT),
    "search-moa-two-heads": Head("moa", {"sizes": moa_sizes(2, 40, 360)}, tokens=2 * SHORT),
    "search-moa-one-head": Head("moa", {"sizes": SIZES}, tokens=2 * SHORT),
    "search-eagle": Head("eagle", tokens=SHORT),
    "search-eagle-vocabulary": Head("eagle", {"vocabulary": 1.0}, tokens=SHORT),
    "search-eagle-little-feature": Head("eagle", {"vocabulary": 1.0, "feature": 0.1}, tokens=SHORT),
    "search-eagle-no-noise": Head("eagle", {"noise": 0.0}, tokens=SHORT),
    "search-eagle-wide": Head("eagle", {"sizes": "intermediate_size=908"}, tokens=SHORT),
}
"""What was tried on the way, trained when asked for by name."""


def ship(name: str, stream: Path, output: Path, folder: Path, tokens: int | None = None) -> None:
    """Trains a head, and writes it in float16, with its model card."""
    method = train(name, stream, output, tokens)
    method.head.half()
    method.save(str(folder))
    text = head_card.write(name, find(name), method.head.num_parameters(), output)
    (folder / "README.md").write_text(text, encoding="utf-8")


def find(name: str) -> Head:
    """Gives a head by its name.

    Raises:
        SystemExit: there is none of this name.
    """
    known = HEADS | SEARCH
    if name not in known:
        raise SystemExit(f"expected a head of {', '.join(known)}; got {name!r}")
    return known[name]


def train(name: str, stream: Path, output: Path, tokens: int | None = None) -> TrainingMethod:
    """Trains a head for the target that ships; continues from the last checkpoint in `output`."""
    head, bpe = find(name), tokenizer.load(path("target"))
    set_seed(0)
    target = LlamaForCausalLM.from_pretrained(path("target"))
    method = load_method(head.method, target, bpe, **head.options)
    method.recipe = method.recipe.short(head.rate)
    plan = Plan(str(output), epochs=1, batch=BATCH, save_steps=250, settings={"head": repr(head)})
    HeadTrainer(method, target, examples(stream, tokens or head.tokens), plan).run()
    return method


def examples(stream: Path, tokens: int) -> Examples:
    """The same random pieces of the corpus for every head; all of a piece is learnt from."""
    blocks = Blocks(stream, LENGTH)
    chosen = np.random.default_rng(0).permutation(len(blocks))[: max(tokens // LENGTH, 1)]
    pieces = (blocks[int(index)]["input_ids"].numpy().astype(np.int32) for index in chosen)
    return Examples([Example(piece, np.ones(LENGTH, dtype=bool)) for piece in pieces])
