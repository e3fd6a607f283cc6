"""Heads on disk: sizes are taken from the tensors, and what a configuration says of these must agree."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import Any

import torch
from attrs import frozen
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from specdec.errors import SpecdecError, WrongCheckpoint
from specdec.heads.files import find, read_all, read_fields
from specdec.vocabulary import vocabulary_hash

CONFIG = "config.json"
SIZES = ("model_type", "hidden_size", "num_hidden_layers", "num_key_value_heads", "vocab_size")


@frozen(eq=False)
class Checkpoint:
    """The fields of a head's `config.json`, and its tensors by name."""

    path: str
    fields: dict[str, Any]
    tensors: dict[str, Tensor]

    @classmethod
    def read(cls, path: str | PathLike[str]) -> "Checkpoint":
        """Read a folder or a name on the hub.

        Raises:
            WrongCheckpoint: a file is missing or damaged.
        """
        fields = read_fields(find(path, CONFIG))
        return cls(str(path), fields, read_all(path))

    @contextmanager
    def interpreted(self) -> Iterator[None]:
        """Turn what goes wrong while a configuration is made of the fields into one kind of error.

        Raises:
            WrongCheckpoint: a field has a value that is of another type, or that nothing can be made of.
        """
        try:
            yield
        except SpecdecError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, StrictDataclassError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise WrongCheckpoint(f"expected a head's {CONFIG} in {self.path}, got one with {reason}") from error

    def shape(self, name: str) -> tuple[int, int]:
        """Give the shape of a matrix.

        Raises:
            WrongCheckpoint: there is none of this name.
        """
        if name not in self.tensors or self.tensors[name].dim() != 2:
            shape = tuple(self.tensors[name].shape) if name in self.tensors else "none"
            raise WrongCheckpoint(f"expected a matrix {name} in {self.path}, got {shape}")
        rows, columns = self.tensors[name].shape
        return rows, columns

    def check_fields(self, sizes: Mapping[str, Any]) -> None:
        """Check that the configuration agrees with these sizes of the tensors, wherever it names them.

        Raises:
            WrongCheckpoint: it does not.
        """
        for name, size in sizes.items():
            if self.fields.get(name) not in (None, size):
                raise WrongCheckpoint(
                    f"expected tensors in {self.path} of {name} {self.fields[name]} as its {CONFIG} says, got {size}"
                )

    def settle_vocabulary(self, whole: int, drafted: int | None = None) -> int:
        """Give the size of the draft vocabulary, `whole` if there is none: then its maps go.

        `drafted` is how many tokens the head's own output layer scores, if it has one.

        Raises:
            WrongCheckpoint: its two maps do not name the same tokens, or not as many.
        """
        offsets, chosen = self.tensors.get("d2t"), self.tensors.get("t2d")
        if drafted is None:
            drafted = whole if chosen is None else int(chosen.sum())
        if drafted == (whole if chosen is None else len(chosen)):
            self.tensors.pop("d2t", None)
            self.tensors.pop("t2d", None)
            return drafted
        if offsets is None or offsets.shape != (drafted,):
            shape = "none" if offsets is None else tuple(offsets.shape)
            raise WrongCheckpoint(f"expected d2t in {self.path} for {drafted} tokens, got {shape}")
        tokens = torch.arange(drafted) + offsets
        if (tokens.diff() <= 0).any():
            raise WrongCheckpoint(f"expected d2t in {self.path} to lead to tokens in ascending order, got another")
        if chosen is None:
            if strange := [int(token) for token in (tokens[0], tokens[-1]) if not 0 <= token < whole]:
                raise WrongCheckpoint(f"expected d2t in {self.path} to lead to tokens below {whole}, got {strange[0]}")
            chosen = self.tensors["t2d"] = torch.zeros(whole, dtype=torch.bool)
            chosen[tokens] = True
        if not torch.equal(chosen.nonzero()[:, 0], tokens):
            raise WrongCheckpoint(f"expected d2t and t2d in {self.path} to name the same tokens, got different ones")
        return drafted

    def load_into(self, model: nn.Module) -> None:
        """Give a model its tensors, in the types that they have in the file.

        Raises:
            WrongCheckpoint: one is missing, not the model's, or of another shape.
        """
        expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        shapes = {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}
        for name in sorted(expected.keys() | shapes.keys()):
            if expected.get(name) != shapes.get(name):
                raise WrongCheckpoint(
                    f"expected {name} in {self.path} to be {expected.get(name, 'absent')}, "
                    f"got {shapes.get(name, 'none')}"
                )
        model.load_state_dict(self.tensors, assign=True)


def fingerprint(target: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase | None = None) -> dict[str, Any]:
    """Describe a target by its sizes, and its vocabulary by a hash, to recognise it later."""
    sizes = {name: getattr(target, name) for name in SIZES}
    return sizes if tokenizer is None else {**sizes, "vocabulary": vocabulary_hash(tokenizer)}


def check_made_for(made_for: Mapping[str, Any], target: Mapping[str, Any], path: str) -> None:
    """Check that a head was made for a target, wherever both name the same property.

    Raises:
        WrongCheckpoint: the message says in what they differ.
    """
    for name, value in made_for.items():
        if name in target and target[name] != value:
            raise WrongCheckpoint(
                f"expected a head for a target with {name} {target[name]}, got {path}, made for {name} {value}"
            )
