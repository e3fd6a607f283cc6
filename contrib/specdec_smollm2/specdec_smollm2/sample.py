"""`python -m specdec_smollm2.sample`: make dialogues, and write them as training data."""

import json
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from attrs import define, field
from transformers.utils import logging

from specdec import OptionError, Target, find_model
from specdec_smollm2.dialogues import Dialogue, Lengths, Making
from specdec_smollm2.layout import Layout

TEMPERATURES = (0.0, 0.6, 1.0)
"""Of the answers, in turn: a head drafts for greedy text and for sampled text."""
USUAL = Lengths()
OFTEN = 60.0
"""Seconds between two lines that say how far it is."""
BEGINNING = b'{"seed": '
"""How each line begins that this writes."""

Output = Annotated[Path, typer.Option(metavar="FILE", help="JSONL to write; what is there is continued.")]
Model = Annotated[str, typer.Option(metavar="NAME|PATH|HUB-ID", help="A chat model.")]
Tokens = Annotated[
    int, typer.Option(min=1, help="Stop at this many answer tokens, counting those already in the file.")
]
First = Annotated[
    int, typer.Option(min=0, help="Number of the first dialogue, so that several processes can share one set.")
]
Width = Annotated[int, typer.Option(min=1, help="Dialogues at a time.")]
Shortest = Annotated[int, typer.Option(min=1, help="Minimum number of tokens in a question.")]
Question = Annotated[int, typer.Option(min=1, help="Maximum number of tokens in a question; longer ones are left out.")]
Answer = Annotated[int, typer.Option(min=1, help="Maximum number of tokens in an answer; longer ones are cut.")]


def sample(
    output: Output,
    target: Model = "smollm2",
    tokens: Tokens = 1_500_000,
    first: First = 0,
    width: Width = 24,
    shortest: Shortest = USUAL.shortest,
    question: Question = USUAL.question,
    answer: Answer = USUAL.answer,
) -> None:
    """Have a chat model make up questions, and answer them.

    Dialogue n is sampled with seeds of its own, so the same lines come out whatever the width, and however often this
    is stopped. The seeds of those that are left out go to a file beside the output.
    """
    kept, left_out = _read(output), _read(beside(output))
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    model = Target.from_pretrained(find_model(target))
    layout = Layout.of(model.tokenizer)
    done = {line["seed"] for line in kept + left_out}
    making = Making(
        model, layout, Lengths(shortest, question, answer), {layout.question(one["prompt"]) for one in kept}
    )
    pace = Pace(sum(line["tokens"] for line in kept))
    with output.open("a", encoding="utf-8") as training, beside(output).open("a", encoding="utf-8") as others:
        for dialogue in making.run(_dialogues(first, done), width) if pace.tokens < tokens else ():
            record = dialogue.record(layout)
            file = training if "prompt" in record else others
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()
            pace.add(len(dialogue.answer) if file is training else 0)
            if pace.tokens >= tokens:
                break


def beside(output: Path) -> Path:
    """Name the file of what is left out."""
    return output.with_name(f"{output.stem}.left-out.jsonl")


@define
class Pace:
    """Counts tokens, and says now and then how many there are."""

    tokens: int
    _before: int = field(init=False)
    _began: float = field(factory=time.monotonic, init=False)
    _last: float = field(factory=time.monotonic, init=False)

    def __attrs_post_init__(self) -> None:
        self._before = self.tokens

    def add(self, tokens: int) -> None:
        """Count some more."""
        self.tokens, now = self.tokens + tokens, time.monotonic()
        if now - self._last > OFTEN:
            self._last = now
            speed = (self.tokens - self._before) / (now - self._began)
            print(f"{self.tokens} tokens of answers, {speed:.0f} a second", file=sys.stderr, flush=True)


def _dialogues(first: int, done: set[int]) -> Iterator[Dialogue]:
    return (Dialogue(seed, TEMPERATURES[seed % len(TEMPERATURES)]) for seed in count(first) if seed not in done)


def _read(file: Path) -> list[dict[str, Any]]:
    """Read what is there; once it is known for a file of dialogues, cut off a line that was not written to its end.

    Raises:
        OptionError: it is another file.
    """
    data = file.read_bytes() if file.exists() else b""
    whole = data[: data.rfind(b"\n") + 1]
    read = [_parsed(line, file) for line in whole.splitlines()]
    if len(whole) < len(data):
        if not read and data[: len(BEGINNING)] != BEGINNING[: len(data)]:
            raise _foreign(file, data)
        file.write_bytes(whole)
    return read


def _parsed(line: bytes, file: Path) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict) or "seed" not in value:
        raise _foreign(file, line)
    return value


def _foreign(file: Path, found: bytes) -> OptionError:
    return OptionError(f"expected a new file, or one of dialogues with their seeds, got {file} with {found[:40]!r}")


if __name__ == "__main__":
    typer.run(sample)
