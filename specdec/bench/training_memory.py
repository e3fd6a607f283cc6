"""How much memory a step of training takes on top of the models: `python -m specdec.bench.training_memory`.

On a random target of the sizes of Llama 3 8B; its layers share their weights, which leaves what is measured as it is.
"""

import ctypes
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Annotated, Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import torch
import typer
from attrs import asdict, frozen
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from specdec.training import Batch, Examples, Progress, Teacher, Together, TrainingMethod, load_method
from specdec.training.dataset import Example, collate

GIB = 2**30
MALLOC = {-8: 1, -1: 0, -3: 65_536}  # glibc's M_ARENA_MAX, M_TRIM_THRESHOLD, M_MMAP_THRESHOLD


@frozen
class Cost:
    """Memory in GiB: of both models, of the head's gradients, and above these at its peak."""

    models: float
    gradients: float
    peak: float
    parameters: int


class Peak:
    """Watches how much memory the process has."""

    def __init__(self, pause: float = 0.002) -> None:
        self.pause, self.bytes = pause, 0
        self._process = psutil.Process()

    @contextmanager
    def watching(self) -> Iterator[int]:
        """Watch in a thread; gives what there is at the start."""
        start, done = self.resident(), Event()

        def watch() -> None:
            while not done.wait(self.pause):
                self.bytes = max(self.bytes, self.resident())

        self.bytes = start
        thread = Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield start
        finally:
            done.set()
            thread.join()

    def resident(self) -> int:
        """Give the bytes that there are now."""
        return int(self._process.memory_info().rss)


def return_at_once() -> None:
    """Have glibc return what is freed, which otherwise it keeps, more or less from run to run; elsewhere do nothing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # musl has none
        for option, value in MALLOC.items():
            mallopt(option, value)


def target(vocabulary: int, hidden: int, layers: int, intermediate: int) -> PreTrainedModel:
    """Make a random target whose layers share their weights."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 128,
        num_key_value_heads=max(hidden // 512, 1),
        max_position_embeddings=8192,
    )
    with torch.device("meta"):  # 32 layers of their own would not fit most machines
        model = LlamaForCausalLM(config)
    first, *others = model.model.layers
    for layer in others:
        layer.mlp = first.mlp
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(layer.self_attn, name, getattr(first.self_attn, name))
    model = model.to_empty(device="cpu")
    model.model.rotary_emb = LlamaRotaryEmbedding(config)
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=config.initializer_range)
        else:
            torch.nn.init.ones_(weight)
    return model


def measure(model: PreTrainedModel, method: TrainingMethod | Together, batch: Batch) -> Cost:
    """Do the forward and the backward pass of one step."""
    teacher, peak = Teacher(model, method.needs), Peak()
    trained = [parameter for parameter in method.parameters() if parameter.requires_grad]
    models = peak.resident()
    for parameter in trained:
        parameter.grad = torch.empty_like(parameter).fill_(0)
    with peak.watching() as start:
        method(teacher.read(batch), Progress(0.0, 1.0))["loss"].backward()
    size = sum(parameter.numel() for parameter in trained)
    return Cost(models / GIB, (start - models) / GIB, (peak.bytes - start) / GIB, size)


def texts(vocabulary: int, tokens: int) -> Batch:
    """Draw one text; three quarters of it are learnt from."""
    text = np.random.default_rng(0).integers(vocabulary, size=tokens, dtype=np.int32)
    batch: Any = collate([Examples([Example(text, np.arange(tokens) >= tokens // 4)])[0]])
    return batch["batch"]  # type: ignore[no-any-return]


def main(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="METHOD[:K=V,...]", help="What is trained: moa, eagle, eagle3, or a plugin's."),
    ] = None,
    vocabulary: Annotated[int, typer.Option(metavar="V", help="Size of the vocabulary.")] = 128_256,
    hidden: Annotated[int, typer.Option(metavar="E", help="Width of the target.")] = 4096,
    layers: Annotated[int, typer.Option(metavar="L", help="Layers of the target.")] = 32,
    intermediate: Annotated[int, typer.Option(metavar="F", help="Width of the target's feed-forward part.")] = 14336,
    tokens: Annotated[int, typer.Option(metavar="N", help="Tokens of the text.")] = 2048,
    threads: Annotated[int, typer.Option(metavar="N", help="Threads that torch may use.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print the peak of memory of one step above the target, the head and its gradients, in float32."""
    return_at_once()
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = target(vocabulary, hidden, layers, intermediate)
    methods = {name: load_method(name, model) for name in names or ["moa"]}
    cost = measure(model, Together(methods), texts(vocabulary, tokens))
    if as_json:
        print(json.dumps(asdict(cost)))
    else:
        print(
            f"{', '.join(methods)}: {tokens} tokens, vocabulary of {vocabulary}: {cost.peak:.2f} GiB above the models "
            f"({cost.models:.2f} GiB) and the gradients of {cost.parameters / 1e6:.0f} million weights "
            f"({cost.gradients:.2f} GiB)"
        )


if __name__ == "__main__":
    typer.run(main)
