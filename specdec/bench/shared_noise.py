"""What sharing the target's noise with the drafter gains: `python -m specdec.bench.shared_noise`.

Each pair of policy and temperature decodes a batch of prompts twice: with drafts ranked by `logits + temperature *
noise`, and by the logits alone. The rule is `match` both times, so the texts must be the same, and are compared.
"""

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Annotated

import typer
from attrs import asdict, frozen
from rich.console import Console
from rich.table import Table
from transformers.utils import logging

from specdec.bench import questions
from specdec.chance import Chance, Key, Keyed
from specdec.decode import Decoder, Generation
from specdec.interfaces import Drafter, Verifier
from specdec.options import Sampling, Stop
from specdec.plugins import load_drafter, load_policy, plugins
from specdec.target import Target
from specdec.text import Prompt

POLICIES = ("chain:length=5", "dynamic:depth=5,width=4,size=16")
TEMPERATURES = (0.6, 1.0)
PYTHON = (
    "def quicksort(items):",
    "def is_prime(number):",
    'def read_lines(path, encoding="utf-8"):',
    "def flatten(nested: list[list[int]]) -> list[int]:",
    "class Stack:\n    def __init__(self):",
    "class Point:\n    def __init__(self, x, y):",
    "import argparse\n\n\ndef main():",
    "import json\nimport os\n\n\ndef load_config(path):",
    "import re\n\n\ndef tokenize(text):",
    "import unittest\n\n\nclass TestParser(unittest.TestCase):\n    def setUp(self):",
    "from collections import defaultdict\n\n\ndef group_by(items, key):",
    "from dataclasses import dataclass\n\n\n@dataclass\nclass Request:",
)


class Unshared(Keyed):
    """Keeps the target's noise from drafters, who take any `Chance` and so know what None means."""

    def noise(self, key: Key, size: int) -> None:  # type: ignore[override]
        return None


@frozen
class Gain:
    """Acceptance lengths with and without shared noise, and whether the texts were the same."""

    policy: str
    temperature: float
    shared: float
    unshared: float
    equal: bool


def measure(
    drafter: Drafter, verifier: Verifier, policy: str, temperature: float, batch: Sequence[Prompt], tokens: int
) -> Gain:
    """Decode the batch with shared noise, then without."""

    def decode(chance: Chance) -> Generation:
        decoder = Decoder(drafter, verifier, load_policy(policy), chance=chance)
        return decoder.generate(batch, Sampling(temperature), Stop(tokens))

    shared, unshared = decode(Keyed()), decode(Unshared())
    lengths = shared.metrics.acceptance_length, unshared.metrics.acceptance_length
    return Gain(policy, temperature, *lengths, shared.tokens == unshared.tokens)


def prompts(file: Path | None, count: int | None = None) -> list[str]:
    """Take the first prompts of a file of questions, else of `PYTHON`; all without a count.

    Raises:
        PromptError: the file cannot be read as questions.
    """
    return list(PYTHON[:count]) if file is None else [question.prompt for question in questions.read(file)][:count]


def report(gains: Sequence[Gain]) -> Table:
    """Lay out the acceptance lengths."""
    table = Table("policy", "T", "shared", "not shared", "ratio", "same text", box=None)
    for gain in gains:
        figures = (f"{gain.shared:.2f}", f"{gain.unshared:.2f}", f"{gain.shared / gain.unshared:.2f}")
        table.add_row(gain.policy, f"{gain.temperature:g}", *figures, "yes" if gain.equal else "NO")
    return table


def main(
    target: Annotated[str, typer.Option(metavar="NAME|PATH", help="The model that speaks.")] = "zoo",
    draft: Annotated[str, typer.Option(metavar="NAME|PATH", help="The model that guesses.")] = "zoo-draft",
    count: Annotated[int, typer.Option("--prompts", metavar="N", help="Maximum number of prompts in the batch.")] = 12,
    file: Annotated[
        Path | None,
        typer.Option("--prompts-file", metavar="FILE", help="Prompts as in question.jsonl; else twelve of Python."),
    ] = None,
    tokens: Annotated[
        int, typer.Option("--max-tokens", metavar="N", help="Maximum number of tokens for each prompt.")
    ] = 128,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """Print acceptance lengths with and without shared noise. Fails if a text depends on it."""
    logging.disable_progress_bar()
    verifier = Target.from_pretrained(plugins().folder(target))
    drafter, batch = load_drafter("small_model", draft, target=verifier), prompts(file, count)
    gains = [measure(drafter, verifier, *case, batch, tokens) for case in product(POLICIES, TEMPERATURES)]
    if as_json:
        print(json.dumps([asdict(gain) for gain in gains]))
    else:
        Console().print(report(gains))
    if not all(gain.equal for gain in gains):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
