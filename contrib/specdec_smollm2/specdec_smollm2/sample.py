"""`python -m specdec_smollm2.sample`: make dialogues, and write them as training data."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import torch
import typer
from transformers.utils import logging

from specdec import Target
from specdec_smollm2.dialogues import Dialogue, Layout, Lengths, Making

TEMPERATURES = (0.0, 0.6, 1.0)
"""Of the answers, in turn: a head drafts for greedy text and for sampled text."""
OFTEN = 60.0
"""Seconds between two lines that say how far it is."""


def sample(
    output: Annotated[Path, typer.Option(help="JSONL to write; what is there is continued.")],
    target: Annotated[str, typer.Option(help="A chat model.")] = "smollm2",
    tokens: Annotated[int, typer.Option(min=1, help="Tokens of answers to make, those that are there included.")] = 1_500_000,
    width: Annotated[int, typer.Option(min=1, help="Dialogues at a time.")] = 24,
) -> None:
    """Have a chat model make up questions, and answer them.

    Dialogue n is sampled with seeds of its own, so the same ones come out however often this is stopped; which of two
    equal questions counts may change.
    """
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    model = Target.from_pretrained(target)
    layout = Layout.of(model.tokenizer)
    lines = _read(output)
    done = {int(line["seed"]) for line in lines}
    kept = [line for line in lines if "prompt" in line]
    count = sum(int(line["tokens"]) for line in kept)
    making = Making(model, layout, Lengths(), {line["prompt"].removeprefix(layout.before).removesuffix(layout.after) for line in kept})
    last, began, first = time.monotonic(), time.monotonic(), count
    with output.open("a", encoding="utf-8") as file:
        for dialogue in making.run(_dialogues(done, lambda: count < tokens), width):
            record = dialogue.record(layout) | {"tokens": len(dialogue.answer)}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()
            if "prompt" in record:
                count += len(dialogue.answer)
            if time.monotonic() - last > OFTEN:
                last = time.monotonic()
                print(f"{count} tokens of answers, {(count - first) / (last - began):.0f} a second", file=sys.stderr, flush=True)


def _dialogues(done: set[int], wanted) -> Iterator[Dialogue]:
    seed = 0
    while wanted():
        if seed not in done:
            yield Dialogue(seed, TEMPERATURES[seed % len(TEMPERATURES)])
        seed += 1


def _read(output: Path) -> list[dict]:
    """Read what is there, and cut off a line that was not written to its end."""
    if not output.exists():
        return []
    whole = [line for line in output.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    output.write_bytes(b"".join(whole))
    return [json.loads(line) for line in whole]


if __name__ == "__main__":
    typer.run(sample)
