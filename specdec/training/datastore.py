"""`python -m specdec.training.datastore`: make a datastore for the drafter `retrieval` out of training data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from specdec import find_model
from specdec.drafters.datastore import Datastore
from specdec.errors import OptionError, SpecdecError
from specdec.target.loading import load_tokenizer
from specdec.training.dataset import Examples

Data = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Texts, in the formats of specdec train --data.")]
Model = Annotated[str, typer.Option(metavar="NAME|PATH|HUB-ID", help="The model whose tokens it is made of.")]
Output = Annotated[Path, typer.Option(metavar="FILE", help="Where the datastore goes.")]


def make(data: Data, target: Model, output: Output) -> None:
    """Make a datastore, in which `specdec generate --drafter retrieval:FILE` looks up what followed the last tokens."""
    try:
        _make(data, target, output)
    except (SpecdecError, OSError) as error:
        raise SystemExit(f"specdec: {error}") from error


def _make(data: Sequence[Path], target: str, output: Path) -> None:
    if output.resolve() in [path.resolve() for path in data]:
        raise OptionError(f"expected an --output apart from the texts, got {str(output)!r}")
    if output.is_dir() or not output.parent.is_dir():
        raise OptionError(f"expected a file in a folder that is there as --output, got {str(output)!r}")
    examples = Examples.read(data, load_tokenizer(find_model(target)), max_length=2**31).examples
    store = Datastore.of(example.tokens.tolist() for example in examples)
    store.save(output)
    count, kinds = sum(len(example.tokens) for example in examples), len(store.vocabulary)
    print(f"{output}: {count} tokens, {kinds} distinct, of {len(examples)} text{'s' * (len(examples) != 1)}")


if __name__ == "__main__":
    typer.run(make)
