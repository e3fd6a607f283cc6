"""What a step costs outside the models' own passes: `python -m specdec.bench.overhead`.

The time of each step less the time inside the forward passes of target and drafter, at 16 drafted nodes, on random
models. The median over the steps counts. The drafter `free` costs nothing to ask, so that what is left is the
library's own.
"""

import json
from collections.abc import Callable
from itertools import product
from statistics import median
from time import perf_counter, thread_time
from typing import Annotated

import torch
import typer
from attrs import asdict, frozen
from rich.console import Console
from rich.table import Table
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from specdec.bench.entry import Stopwatch, check_thread_clock
from specdec.context import Context
from specdec.decode import Decoder
from specdec.drafters import Ngram, SmallModel
from specdec.grow import grow
from specdec.interfaces import Drafter, TreePolicy
from specdec.options import Sampling, Stop
from specdec.policies import Chain, Dynamic, Static
from specdec.target import Target
from specdec.tree import Tree

NODES = 16
WORDS = 64
SIZES = {"tiny": (64, 2), "small": (256, 8)}
"""Hidden size and layers."""
POLICIES: dict[str, TreePolicy] = {
    f"chain of {NODES}": Chain(NODES),
    "static, 4x3": Static((4, 3)),
    f"dynamic, {NODES} nodes": Dynamic(depth=4, width=4, size=NODES),
}
DRAFTERS = ("free", "ngram", "small_model")
TEMPERATURES = (0.0, 1.0)


@frozen
class Cost:
    """Medians per step, in milliseconds: outside the models, and inside them."""

    size: str
    drafter: str
    policy: str
    temperature: float
    nodes: float
    overhead: float
    models: float


class Free(Drafter):
    """Says the same after every node."""

    def __init__(self, vocabulary: int) -> None:
        self._logits = 3 * torch.randn(1, NODES, vocabulary, generator=torch.Generator().manual_seed(0))

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        return grow(context, policy, lambda frontier: self._logits[:, : frontier.tokens.shape[1]])


def measure(size: str, drafter: str, policy: str, temperature: float, tokens: int, watch: Stopwatch) -> Cost:
    """Decode once to warm up, once on the clock."""
    model, draft = llama(*SIZES[size]), llama(64, 1)
    drafters: dict[str, Callable[[], Drafter]] = {
        "free": lambda: Free(int(draft.config.vocab_size)),
        "ngram": Ngram,
        "small_model": lambda: SmallModel(draft),
    }
    decoder = Decoder(drafters[drafter](), Target(model), POLICIES[policy])
    with watch.around(model), watch.around(draft):
        steps(decoder, watch, temperature, 8)
        pairs = steps(decoder, watch, temperature, tokens)
    overhead, models = (1000 * median(part) for part in zip(*pairs, strict=True))
    nodes = decoder.metrics.sequences[0].drafted / len(pairs)
    return Cost(size, drafter, policy, temperature, nodes, overhead, models)


def steps(decoder: Decoder, watch: Stopwatch, temperature: float, tokens: int) -> list[tuple[float, float]]:
    """Give each step's seconds outside the models, and inside them."""
    prompt = torch.randint(0, WORDS, (128,), generator=torch.Generator().manual_seed(0)).tolist()
    pairs, before = [], 0.0
    stream = decoder.stream(prompt, Sampling(temperature, seed=1), Stop(tokens, tokens=()))
    watch.seconds, start = 0.0, watch.clock()
    for _ in stream:
        whole, inside = watch.clock() - start, watch.seconds - before
        pairs.append((whole - inside, inside))
        before, start = watch.seconds, watch.clock()
    return pairs


def llama(hidden: int, layers: int, vocabulary: int = 4096) -> PreTrainedModel:
    """Make a random model that says `WORDS` words only, so that what it says has been said before."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        model.lm_head.weight[WORDS:] = 0
        model.lm_head.weight[:WORDS] *= 100
    return model


def report(costs: list[Cost]) -> Table:
    """Lay out the figures: the time of a step outside and inside the models."""
    table = Table("target", "drafter", "policy", "T", "nodes", "outside, ms", "inside, ms", box=None)
    for cost in costs:
        figures = (f"{cost.temperature:g}", f"{cost.nodes:.1f}", f"{cost.overhead:.2f}", f"{cost.models:.2f}")
        table.add_row(cost.size, cost.drafter, cost.policy, *figures)
    return table


def main(
    tokens: Annotated[int, typer.Option(help="Tokens per measurement.")] = 100,
    threads: Annotated[int | None, typer.Option(help="Threads that torch may use; default: 2, with --cpu 1.")] = None,
    cpu: Annotated[
        bool, typer.Option("--cpu", help="Count the thread's processor time, for a machine that is busy.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """Print the time per step outside the models' own passes, at 16 nodes."""
    threads = (1 if cpu else 2) if threads is None else threads
    if cpu:
        check_thread_clock(threads, "cpu")
    torch.set_num_threads(threads)
    cases = product(SIZES, DRAFTERS, POLICIES, TEMPERATURES)
    costs = [measure(*case, tokens, Stopwatch(thread_time if cpu else perf_counter)) for case in cases]
    if as_json:
        print(json.dumps([asdict(cost) for cost in costs]))
    else:
        Console().print(report(costs))


if __name__ == "__main__":
    typer.run(main)
