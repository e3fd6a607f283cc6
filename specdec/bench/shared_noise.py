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

from specdec.bench import prompts
from specdec.chance import Chance, Key, Keyed
from specdec.cli import parts
from specdec.decode import Decoder, Generation
from specdec.interfaces import Drafter, Verifier
from specdec.options import Sampling, Stop
from specdec.plugins import load_policy, parse
from specdec.text import Prompt

POLICIES = ("chain:length=5", "dynamic:depth=5,width=4,size=16")
TEMPERATURES = (0.6, 1.0)


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
        name, options = parse(policy)
        decoder = Decoder(drafter, verifier, load_policy(name, **options), chance=chance)
        return decoder.generate(batch, Sampling(temperature), Stop(tokens))

    shared, unshared = decode(Keyed()), decode(Unshared())
    lengths = shared.metrics.acceptance_length, unshared.metrics.acceptance_length
    return Gain(policy, temperature, *lengths, shared.tokens == unshared.tokens)


def report(gains: Sequence[Gain]) -> Table:
    """Lay out the acceptance lengths."""
    table = Table("policy", "T", "shared", "not shared", "ratio", "same text", box=None)
    for gain in gains:
        figures = (f"{gain.shared:.2f}", f"{gain.unshared:.2f}", f"{gain.shared / gain.unshared:.2f}")
        table.add_row(gain.policy, f"{gain.temperature:g}", *figures, "yes" if gain.equal else "NO")
    return table


def main(
    target: Annotated[
        str | None, typer.Option(metavar="NAME|PATH", help="The model that speaks; else the zoo's.")
    ] = None,
    draft: Annotated[str, typer.Option(metavar="NAME|PATH", help="The model that guesses.")] = parts.DRAFT,
    count: Annotated[int, typer.Option("--prompts", metavar="N", help="Most prompts in the batch.")] = 12,
    file: Annotated[
        Path | None,
        typer.Option("--prompts-file", metavar="FILE", help="Prompts as in question.jsonl; else twelve of Python."),
    ] = None,
    tokens: Annotated[int, typer.Option("--max-tokens", metavar="N", help="Most tokens of each prompt.")] = 128,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """Print acceptance lengths with and without shared noise. Fails if a text depends on it."""
    names = parts.choose(target, f"small_model:{draft}", "chain", "match")
    loaded, _ = parts.load(names, None)
    batch = prompts.read(file, count)
    cases = product(POLICIES, TEMPERATURES)
    gains = [measure(loaded.drafter, loaded.verifier, *case, batch, tokens) for case in cases]
    if as_json:
        print(json.dumps([asdict(gain) for gain in gains]))
    else:
        Console().print(report(gains))
    if not all(gain.equal for gain in gains):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
