"""Weights in half precision: whether a row's result depends on the others, and what passes over many tokens cost.

`python docs/half_precision.py rows` and `python docs/half_precision.py long`: docs/performance.md
has what they printed.
"""

from time import thread_time

import torch
import typer

from specdec import find_model
from specdec.target import load_model
from specdec.target.half import HalfPrecisionLinear

app = typer.Typer()
USUAL = 16
"""How many rows are multiplied at a time for comparison."""


@app.command()
@torch.inference_mode()
def rows(target: str = "smollm2", most: int = 400) -> None:
    """Count the numbers of rows below `most` with which each row's products are those of the row among 16."""
    torch.set_num_threads(1)
    model, shapes = load_model(find_model(target), weights="half"), dict[tuple[int, int], HalfPrecisionLinear]()
    for layer in model.modules():
        if isinstance(layer, HalfPrecisionLinear):
            shapes.setdefault((layer.in_features, layer.out_features), layer)
    same = set(range(1, most))
    for (width, _), layer in shapes.items():
        inputs = torch.randn(-(-most // USUAL) * USUAL, width, generator=torch.Generator().manual_seed(0))
        usual = torch.cat([layer(part) for part in inputs.split(USUAL)])
        same = {count for count in same if torch.equal(layer(inputs[:count]), usual[:count])}
    others = sorted(set(range(1, most)) - same)
    print(f"{len(same)} of the {most - 1} numbers of rows below {most} give the same bits; {others[:8]}, ... do not")


@app.command()
@torch.inference_mode()
def long(target: str = "smollm2", texts: int = 8, tokens: int = 256, repeats: int = 5) -> None:
    """Time passes over whole texts with both kinds of weights, in turn."""
    torch.set_num_threads(1)
    models = {weights: load_model(find_model(target), weights=weights).eval() for weights in ("full", "half")}
    seconds = {weights: list[float]() for weights in models}
    ids = torch.randint(0, models["full"].config.vocab_size, (texts, tokens))
    for _ in range(repeats):
        for weights, model in models.items():
            start = thread_time()
            model.base_model(input_ids=ids, use_cache=False)
            seconds[weights].append(thread_time() - start)
    for weights, times in seconds.items():
        print(f"{weights} weights: {min(times):.1f} to {max(times):.1f} seconds of a thread")


if __name__ == "__main__":
    app()
