"""What a draft vocabulary costs and saves: `python docs/draft_vocabulary.py levels`, `training`, `coverage FILE ...`.

Heads of the published proportions with random weights, on one thread, in processor time. docs/performance.md has what
it printed.
"""

from itertools import islice
from pathlib import Path
from statistics import median
from time import thread_time
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from specdec import Decoder, Drafter, Sampling, Stop, Target, find_model, load_policy
from specdec.target import load_model, load_tokenizer
from specdec.training import Batch, Examples, Progress, Teacher, Together, load_method

METHODS = ("moa", "moa:tli=1", "eagle", "eagle3")
SIZES = (8192, 16384)
DEPTH = 6
Model = Annotated[str, typer.Option(help="A folder, or a name on the hub.")]
app = typer.Typer(add_completion=False)


@app.command()
def levels(target: Model = "smollm2", temperature: float = 0.0, steps: int = 12, repeats: int = 3) -> None:
    """Time a level of drafting, in milliseconds: a sixth of a tree of a root and five levels of eight nodes."""
    torch.set_num_threads(1)
    verifier = Target.from_pretrained(find_model(target))
    sizes = (*SIZES, int(verifier.vocab_size))
    drafters = {(name, size): random_drafter(verifier, name, size) for name in METHODS for size in sizes}
    times = {key: list[float]() for key in drafters}
    for _ in range(repeats):
        for key, drafter in drafters.items():
            times[key] += draft(drafter, verifier, temperature, steps)
    table = Table("", *map(str, sizes), box=None)
    for name in METHODS:
        table.add_row(name, *(f"{1e3 * median(times[name, size]) / DEPTH:.1f}" for size in sizes))
    Console().print(table)


@app.command()
def training(target: Model = "smollm2", size: int = 8192, steps: int = 3) -> None:
    """Time a step of all methods together on 8 texts of 256 tokens, in seconds."""
    torch.set_num_threads(1)
    model = load_model(find_model(target), weights="full")
    for vocabulary in (size, int(model.config.vocab_size)):
        methods = {name: load_method(name, model, draft_vocab=vocabulary) for name in METHODS}
        print(f"{vocabulary} tokens: {median(train(model, Together(methods), steps)):.1f} s")


@app.command()
def coverage(files: list[Path], target: Model = "smollm2") -> None:
    """Say which share of the answers' tokens is among those that other answers use most."""
    examples = Examples.read(files, load_tokenizer(find_model(target))).examples
    halves = [np.concatenate([one.tokens[one.response] for one in examples[start::2]]) for start in range(2)]
    print(
        f"{len(examples)} answers, {sum(map(len, halves))} tokens, {len(np.unique(np.concatenate(halves)))} different"
    )
    for size in (4096, *SIZES):
        shares = [
            float(np.isin(halves[1 - start], Examples(examples[start::2]).frequent(size, 1 << 20)).mean())
            for start in range(2)
        ]
        print(f"{size}: {sum(shares) / 2:.1%}; of the lowest ids {(np.concatenate(halves) < size).mean():.1%}")


def random_drafter(verifier: Target, name: str, size: int) -> Drafter:
    """Make a drafter whose weights have 16 bits, as trained ones are stored."""
    method = load_method(name, verifier.model, draft_vocab=size)
    method.head.half().float()
    return method.drafter()


def draft(drafter: Drafter, verifier: Target, temperature: float, steps: int) -> list[float]:
    """Time the trees of some steps, the first two of which are left out."""
    times, propose = list[float](), drafter.propose

    def timed(*arguments: Any) -> Any:
        start, trees = thread_time(), propose(*arguments)
        times.append(thread_time() - start)
        return trees

    drafter.propose = timed  # type: ignore[method-assign]
    decoder = Decoder(drafter, verifier, load_policy("dynamic", depth=DEPTH, width=8, size=16))
    text = torch.arange(1, 129).tolist()
    list(islice(decoder.stream(text, Sampling(temperature, seed=1), Stop(tokens=())), steps))
    drafter.propose = propose  # type: ignore[method-assign]
    return times[2:]


def train(model: Any, method: Together, steps: int) -> list[float]:
    """Time steps: the target's pass, those of the heads, and the optimiser's step."""
    texts, times = torch.arange(1, 2049).view(8, 256), list[float]()
    teacher, real = Teacher(model, method.needs), torch.ones_like(texts, dtype=torch.bool)
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-4)
    for _ in range(steps):
        start = thread_time()
        taught = teacher.read(Batch(texts, real, real, torch.arange(8)))
        method(taught, Progress(0.5, 1.0))["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(thread_time() - start)
    return times


if __name__ == "__main__":
    app()
