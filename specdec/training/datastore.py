"""`python -m specdec.training.datastore`: make a datastore for the drafter `retrieval` out of training data."""

from pathlib import Path
from typing import Annotated

import typer

from specdec import find_model
from specdec.drafters.datastore import Datastore
from specdec.target.loading import load_tokenizer
from specdec.training.dataset import Examples

Data = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Texts, in the formats of specdec train --data.")]
Model = Annotated[str, typer.Option(metavar="NAME|PATH|HUB-ID", help="The model whose tokens it is made of.")]
Output = Annotated[Path, typer.Option(metavar="FILE", help="Where the datastore goes.")]


def make(data: Data, target: Model, output: Output) -> None:
    """Make a datastore: `specdec generate --drafter retrieval:FILE` looks up in it what followed the last tokens."""
    examples = Examples.read(data, load_tokenizer(find_model(target)), max_length=2**31).examples
    store = Datastore.of(example.tokens.tolist() for example in examples)
    store.save(output)
    count, kinds = sum(len(example.tokens) for example in examples), len(store.vocabulary)
    print(f"{len(examples)} texts of {count} tokens, {kinds} of them different, in {output}")


if __name__ == "__main__":
    typer.run(make)
