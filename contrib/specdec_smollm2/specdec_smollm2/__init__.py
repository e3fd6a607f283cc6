"""For SmolLM2 135M Instruct: held-out questions, heads that draft for it, and how what they learn from is made."""

from importlib import resources
from pathlib import Path

PROMPTS = ("chat", "rewrite", "summary", "code", "reason")

__all__ = ["PROMPTS", "datastore", "heads", "prompts", "training_data"]
__version__ = "0.1.0"


def datastore() -> Path:
    """Give the file in which the drafter `retrieval` looks up what the model said before: the training data."""
    return _data() / "retrieval.npz"


def heads() -> dict[str, Path]:
    """Give the folders of the heads that ship with the package, for `specdec.load_drafter`."""
    folder = _data() / "models"
    return {file.parent.name: file.parent for file in sorted(folder.glob("*/config.json"))}


def prompts(name: str) -> Path:
    """Give the file of a set of questions, in FastChat's format.

    Raises:
        ValueError: there is no such set.
    """
    if name not in PROMPTS:
        raise ValueError(f"expected a set of prompts of {', '.join(PROMPTS)}, got {name!r}")
    return _data() / "prompts" / f"{name}.jsonl"


def training_data() -> Path:
    """Give the file of dialogues that the heads learnt from, for `specdec train --data`."""
    return _data() / "dialogues.jsonl.gz"


def _data() -> Path:
    return Path(str(resources.files(__name__)))
