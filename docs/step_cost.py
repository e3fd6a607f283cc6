"""Counts what one step of decoding costs in crossings: `python docs/step_cost.py`.

A crossing turns lists, numpy's arrays and torch's tensors into each other, or reads a number out of a tensor. Files are
those of specdec and its plugins that the step enters.
"""

import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from torch.utils._python_dispatch import TorchDispatchMode

from specdec import Decoder, Sampling, Stop, Target, find_model, load_drafter, load_policy

CROSSINGS = {"tolist", "numpy", "from_numpy", "tensor", "as_tensor", "array", "asarray", "frombuffer", "cpu"}


class Scalars(TorchDispatchMode):
    """Counts the numbers that are read out of tensors, as `item`, `int` and `bool` do."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += "_local_scalar_dense" in str(function)
        return function(*args, **(kwargs or {}))


def main(
    target: Annotated[str, typer.Option(help="A model, or what a package brings.")] = "zoo",
    drafter: Annotated[str, typer.Option(help="The name of a drafter.")] = "moa",
    head: Annotated[str, typer.Option(help="Where its head is.")] = "zoo-moa",
    temperature: float = 0.0,
    sequences: int = 1,
    steps: Annotated[int, typer.Option(help="Steps before the one that is counted.")] = 5,
) -> None:
    """Count the crossings and the files of one step, with a tree of 12 nodes."""
    verifier = Target.from_pretrained(find_model(target))
    draft = load_drafter(drafter, find_model(head) or None, target=verifier)
    decoder = Decoder(draft, verifier, load_policy("dynamic", depth=4, width=4, size=12))
    prompts = ["def quicksort(items):", "class Stack:", "import json", "def main():"] * (sequences // 4 + 1)
    stream = decoder.stream(prompts[:sequences], Sampling(temperature, seed=1), Stop(max_tokens=200))
    for _ in range(steps):
        next(stream)
    crossings, files = Counter[str](), set[str]()
    packages = ("specdec", "specdec_moa", "specdec_eagle")

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if not any(package in path.parts for package in packages):
            return
        if event == "call":
            files.add("/".join(path.parts[-2:]))
        if event == "c_call" and argument.__name__ in CROSSINGS:
            crossings[f"{'/'.join(path.parts[-2:])}:{frame.f_lineno} {argument.__name__}"] += 1

    with Scalars() as scalars:
        sys.setprofile(watch)
        step = next(stream)
        sys.setprofile(None)
    print(f"tokens decided: {list(map(len, step.tokens))}")
    print(f"crossings: {sum(crossings.values())}, and {scalars.count} numbers read out of tensors")
    for place, count in sorted(crossings.items()):
        print(f"  {count:3} {place}")
    print(f"files entered: {len(files)}")
    print("  " + " ".join(sorted(files)))


if __name__ == "__main__":
    typer.run(main)
