"""What a pass of the target over M nodes costs on one thread, with full weights and with weights in half precision.

`python docs/pass_cost.py` prints, in milliseconds of processor time, the products of all linear layers and the whole
pass after 128 tokens of text. docs/performance.md has what it printed.
"""

from statistics import median
from time import thread_time

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import nn

from specdec import find_model
from specdec.pack import pack_chains
from specdec.target import Engine, load_model
from specdec.target.half import HalfPrecisionLinear

NODES = (1, 2, 4, 8, 16, 32, 64)
TEXT = 128
"""Tokens that the nodes follow."""
REPEATS = 9


def main(target: str = "smollm2") -> None:
    """Measure one model, its two kinds of weights in turn."""
    torch.set_num_threads(1)
    models = {weights: load_model(find_model(target), weights=weights).eval() for weights in ("full", "half")}
    engines = {weights: Engine(model) for weights, model in models.items()}
    linear = {weights: linear_layers(model) for weights, model in models.items()}
    table = Table("nodes", "products, full", "half", "pass, full", "half", "half over full", box=None)
    for column in table.columns:
        column.justify = "right"
    for nodes in NODES:
        states = [torch.randn(nodes, width) for _, width in linear["full"]]
        products, passes = dict[str, list[float]](), dict[str, list[float]]()
        for _ in range(REPEATS):
            for weights in models:
                products.setdefault(weights, []).append(multiply(linear[weights], states))
                passes.setdefault(weights, []).append(read(engines[weights], nodes))
        row = [1e3 * median(times[weights]) for times in (products, passes) for weights in models]
        table.add_row(str(nodes), *(f"{value:.1f}" for value in row), f"{row[3] / row[2]:.2f}")
    Console().print(table)


def linear_layers(model: nn.Module) -> list[tuple[nn.Module, int]]:
    """List a model's linear layers, and how wide what they read is."""
    kinds = (nn.Linear, HalfPrecisionLinear)
    return [(module, int(module.in_features)) for module in model.modules() if isinstance(module, kinds)]


@torch.inference_mode()
def multiply(layers: list[tuple[nn.Module, int]], states: list[torch.Tensor]) -> float:
    """Time all layers once."""
    start = thread_time()
    for (layer, _), inputs in zip(layers, states, strict=True):
        layer(inputs)
    return thread_time() - start


def read(engine: Engine, nodes: int) -> float:
    """Time one pass over a chain, and leave the text before it as it was."""
    slot = engine.open()
    try:
        text = pack_chains([list(range(1, 1 + TEXT))])
        engine.read([slot], text.tokens, text.depths, text.ancestors, logits=False)
        engine.keep(slot, range(TEXT))
        chain = pack_chains([list(range(1, 1 + nodes))])
        start = thread_time()
        engine.read([slot], chain.tokens, chain.depths, chain.ancestors)
        return thread_time() - start
    finally:
        engine.close(slot)


if __name__ == "__main__":
    typer.run(main)
