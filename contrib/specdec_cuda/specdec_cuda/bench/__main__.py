"""`python -m specdec_cuda.bench`: the kernels beside their floor, and decoding with them, on a GPU."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

TINY = "300", "bf16", 8, "1", 1, 64, 11
"""What `--try` runs, at whatever temperatures: vocabulary, type, nodes, batch, layers, hidden size and tokens."""

Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write what was measured as JSON.")]
Vocabulary = Annotated[str, typer.Option(metavar="V,V,...", help="Sizes of the vocabulary; the model has the largest.")]
Dtype = Annotated[str, typer.Option(metavar="D,D,...", help="bf16, fp16, fp32; the model has the first.")]
Nodes = Annotated[int, typer.Option(metavar="N", help="Nodes of a tree, the root included.")]
Batch = Annotated[str, typer.Option(metavar="B,B,...", help="Sequences side by side.")]
Temperature = Annotated[str, typer.Option(metavar="T,T,...", help="Temperatures of decoding.")]
Layers = Annotated[int, typer.Option(metavar="L", help="Layers of the model.")]
Hidden = Annotated[int, typer.Option(metavar="E", help="Its hidden size.")]
Tokens = Annotated[int, typer.Option(metavar="N", help="Tokens of each text that is timed.")]
Try = Annotated[bool, typer.Option("--try", help="Run it all on the CPU: tiny sizes, interpreted, without times.")]


def bench(
    json_file: Json = None,
    vocabulary: Vocabulary = "32000,128256",
    dtype: Dtype = "bf16,fp16,fp32",
    nodes: Nodes = 64,
    batch: Batch = "1,8",
    temperature: Temperature = "0,1",
    layers: Layers = 32,
    hidden: Hidden = 4096,
    tokens: Tokens = 256,
    tried: Try = False,
) -> None:
    """Time each kernel, and decode with the shapes of Llama 3 8B, random weights and drafts of a given quality.

    It needs a GPU. Drafts are such that a step decides 2, 3, 4 or 5 tokens; speed-ups are over plain decoding with
    the verifier local. The exit code is 1 without a GPU, or if a text is not what the model is known to say.
    """
    if tried:
        os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported
    import torch
    from rich.console import Console

    from specdec.errors import OptionError
    from specdec_cuda.bench.measure import measure
    from specdec_cuda.bench.plan import Plan
    from specdec_cuda.bench.tables import table

    sizes = TINY if tried else (vocabulary, dtype, nodes, batch, layers, hidden, tokens)
    try:
        plan = Plan.of(temperature, *sizes)
    except OptionError as error:
        raise _refused(str(error), 2) from None
    if json_file is not None and not json_file.parent.is_dir():
        raise _refused(f"expected --json with a file in a folder that is there, got {str(json_file)!r}", 2)
    if not (tried or torch.cuda.is_available()):
        raise _refused("expected a GPU of NVIDIA's or AMD's, got none; --try runs it all tiny on the CPU, untimed", 1)
    screen = Console()
    result = measure(plan, torch.device("cpu" if tried else "cuda"), lambda rows: screen.print(table(rows), "\n"))
    if json_file is not None:
        json_file.write_text(json.dumps(result.as_json(), indent=1) + "\n", "utf-8")
    raise typer.Exit(0 if result.right else 1)


def _refused(message: str, code: int) -> typer.Exit:
    """Say in one line why nothing is measured."""
    print(f"specdec_cuda.bench: {message}", file=sys.stderr)
    return typer.Exit(code)


if __name__ == "__main__":
    typer.run(bench)
