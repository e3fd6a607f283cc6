"""What a head costs beside its target: `python -m specdec_moa.bench`.

Drafting 62 nodes in 6 levels, encoder included, against the target's own pass over them; a step of training against
the target's own pass over its tokens. Medians, with heads untrained, of the sizes of a trained one (`--head zoo-moa`)
or of the published proportions; the ratio is the median of those of each step and the pass beside it, for machines
whose speed changes meanwhile. One thread is measured by its own time, several by the wall's.
"""

from collections.abc import Callable, Sequence
from itertools import islice, product
from statistics import median
from time import perf_counter, thread_time
from typing import Annotated, Any

import torch
import typer
from attrs import frozen
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transformers import PreTrainedModel

from specdec import Decoder, Stop, Target, find_model, load_policy
from specdec.training import Batch, Progress, Teacher, written_sizes
from specdec_moa.config import MoAConfig
from specdec_moa.training import method

TREE = "dynamic:depth=6,width=8,size=62"


@frozen
class Cost:
    """Medians: milliseconds of what is measured, of the target's pass, and how many times as much it is."""

    own: float
    target: float
    ratio: float

    @staticmethod
    def of(own: Sequence[float], target: Sequence[float]) -> "Cost":
        """Leave the first step out, in which all is new."""
        ratios = [one / other for one, other in zip(own, target, strict=True)]
        return Cost(median(own[1:]), median(target[1:]), median(ratios[1:]))


def timed(times: list[float], function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function so that each call appends the milliseconds that it takes."""
    clock = thread_time if torch.get_num_threads() == 1 else perf_counter

    def run(*args: Any, **kwargs: Any) -> Any:
        start, result = clock(), function(*args, **kwargs)
        times.append(1000 * (clock() - start))
        return result

    return run


def decoding(model: PreTrainedModel, options: dict[str, Any], length: int, steps: int) -> Cost:
    """Decode after a prompt; measure drafting against the target's pass over what was drafted."""
    drafter, target = method(model, **options).drafter(), Target(model)
    drafted, encoded, read = (list[float]() for _ in range(3))
    drafter.model.remember = timed(encoded, drafter.model.remember)  # type: ignore[method-assign]
    drafter.propose = timed(drafted, drafter.propose)  # type: ignore[method-assign]
    target.engine.read = timed(read, target.engine.read)  # type: ignore[method-assign]
    decoder = Decoder(drafter, target, load_policy(TREE))
    list(islice(decoder.stream(tokens(model, length).tolist(), stop=Stop(tokens=())), steps))
    drafting = [*map(sum, zip(drafted, encoded[-len(drafted) :], strict=True))]
    return Cost.of(drafting, read[-len(drafted) :])


def training(model: PreTrainedModel, options: dict[str, Any], steps: int) -> Cost:
    """Train on 8 texts of 256 tokens; measure a step against the target's own forward pass."""
    learner, texts = method(model, **options), tokens(model, 2048).view(8, 256)
    teacher, real = Teacher(model, learner.needs), torch.ones_like(texts, dtype=torch.bool)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=1e-4)

    def step() -> None:
        taught = teacher.read(Batch(texts, real, real, torch.arange(8)))
        learner(taught, Progress(0.5, 1.0))["loss"].backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    stepped, passed = list[float](), list[float]()
    for _ in range(steps):
        timed(stepped, step)()
        with torch.no_grad():
            timed(passed, model)(texts)
    return Cost.of(stepped, passed)


def tokens(model: PreTrainedModel, count: int) -> Tensor:
    """Draw tokens to read."""
    return torch.randint(model.config.vocab_size, (count,), generator=torch.Generator().manual_seed(0))


def options_of(head: str) -> dict[str, Any]:
    """Give a trained head's sizes as options of training; none for the published proportions."""
    if not head:
        return {}
    config = MoAConfig.from_pretrained(find_model(head))
    return {"sizes": written_sizes(config), "draft_vocab": config.draft_vocab_size}


def main(
    target: Annotated[str, typer.Option(help="A folder, or a name on the hub.")] = "zoo",
    head: Annotated[str, typer.Option(help="A head, for its sizes; without one, the published proportions.")] = "",
    steps: int = 40,
    threads: int = 1,
) -> None:
    """Print what drafting and training cost, beside the target's own passes."""
    torch.set_num_threads(threads)
    model, options = Target.from_pretrained(find_model(target)).model, options_of(head)
    measured = {
        f"draft, TLI {tli}, {length} tokens": decoding(model, {**options, "tli": tli}, length, steps)
        for tli, length in product((0, 1), (100, 500))
    }
    measured |= {f"training, TLI {tli}": training(model, {**options, "tli": tli}, max(steps // 5, 2)) for tli in (0, 1)}
    table = Table("", "ms", "target, ms", "ratio", box=None)
    for what, cost in measured.items():
        table.add_row(what, f"{cost.own:.1f}", f"{cost.target:.1f}", f"{cost.ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
