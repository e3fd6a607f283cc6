"""`python -m specdec_smollm2.ship`: put trained heads among those that ship, in half precision, with model cards."""

import json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from safetensors.torch import load_file, save_file

from specdec.training import STATE, last_whole
from specdec_smollm2.card import Card, Run

WEIGHTS, CONFIG, README = "model.safetensors", "config.json", "README.md"

Runs = Annotated[
    list[Path], typer.Argument(metavar="FOLDER...", help="What `specdec train` wrote, several heads each.")
]
Output = Annotated[Path, typer.Option(metavar="FOLDER", help="Where a folder of each head goes.")]


def ship(runs: Runs, output: Output = Path(__file__).parent / "models") -> None:
    """Put the heads of finished runs among those that ship."""
    for folder in runs:
        run = read_run(folder)
        for head, method in run.heads.items():
            card = Card(head, method, run, _halve(folder / head, output / head))
            (output / head / README).write_text(card.text(), encoding="utf-8")
            print(f"{head}: {card.parameters:,} parameters, in {output / head}")


def read_run(folder: Path) -> Run:
    """Read what a run was, from what it left.

    Raises:
        SystemExit: there is none that is finished, or it trained one head alone.
    """
    file, last = folder / "specdec.json", last_whole(str(folder))
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if last is None or not record.get("finished"):
        raise SystemExit(f"expected a finished run in {folder}; `specdec train` continues one")
    settings = record["settings"]
    if "heads" not in settings:
        raise SystemExit(f"expected a run of several heads in {folder}, got one of {settings['method']}")
    return Run(settings, json.loads((Path(last) / STATE).read_text(encoding="utf-8")))


def _halve(head: Path, folder: Path) -> int:
    """Write a head in half precision, and count its parameters; maps of tokens stay, and are none."""
    tensors = load_file(head / WEIGHTS)
    halved = {name: each.half() if each.is_floating_point() else each for name, each in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(halved, folder / WEIGHTS, metadata={"format": "pt"})
    config = json.loads((head / CONFIG).read_text(encoding="utf-8")) | {"dtype": "float16"}
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return sum(each.numel() for each in halved.values() if each.dtype == torch.float16)


if __name__ == "__main__":
    typer.run(ship)
