"""`python -m specdec.training.datastore`: make a datastore for the drafter `retrieval` out of training data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from specdec import find_model
from specdec.drafters.datastore import Datastore
from specdec.errors import SpecdecError
from specdec.outputs import Output
from specdec.target.loading import load_tokenizer
from specdec.training.dataset import Examples

Data = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Texts, in the formats of specdec train --data.")]
Model = Annotated[str, typer.Option(metavar="NAME|PATH|HUB-ID", help="The model whose tokens it is made of.")]
File = Annotated[Path, typer.Option(metavar="FILE", help="Where the datastore goes.")]
Restart = Annotated[bool, typer.Option("--restart", help="Replace what was made of other texts.")]
COMMAND = "python -m specdec.training.datastore"


def make(data: Data, target: Model, output: File, restart: Restart = False) -> None:
    """Make a datastore, in which `specdec generate --drafter retrieval:FILE` looks up what followed the last tokens."""
    try:
        _make(data, target, output, restart=restart)
    except (SpecdecError, OSError) as error:
        raise SystemExit(f"specdec: {error}") from error


def _make(data: Sequence[Path], target: str, output: Path, *, restart: bool) -> None:
    made = Output.of(output, COMMAND, [find_model(target), *data])
    examples = Examples.read(data, load_tokenizer(find_model(target)), max_length=2**31)
    store = Datastore.of(example.tokens.tolist() for example in examples.examples)
    made.begin({"data": examples.fingerprint}, restart=restart)
    store.save(made.partial)
    made.install(made.partial)
    count, kinds = sum(len(example.tokens) for example in examples.examples), len(store.vocabulary)
    print(f"{output}: {count} tokens, {kinds} distinct, of {len(examples)} text{'s' * (len(examples) != 1)}")


if __name__ == "__main__":
    typer.run(make)
