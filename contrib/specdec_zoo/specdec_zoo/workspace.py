"""Where the recipe keeps what it makes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from specdec_zoo import dataset, tokenizer
from specdec_zoo.corpus import PACKAGE_CAP_BYTES, Document


@dataclass(frozen=True)
class Extent:
    """How large one side of the corpus is."""

    files: int
    bytes: int
    tokens: int


@dataclass(frozen=True)
class Workspace:
    """The folders under the recipe's output."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def tokenizer(self) -> Path:
        return self.data / "tokenizer"

    @property
    def prompts(self) -> Path:
        return self.root / "prompts"

    def run(self, name: str) -> Path:
        return self.root / name

    def model(self, name: str) -> Path:
        return self.root / "models" / name

    def check(self, runs: Iterable[str]) -> None:
        """Checks that the root holds what the recipe makes alone, so that nothing else is overwritten.

        Raises:
            SystemExit: it holds something else, or is no folder.
        """
        if self.root.exists() and not self.root.is_dir():
            raise SystemExit(f"expected a folder for --output, got the file {self.root}")
        own = {"data", "prompts", "models", *runs}
        names = sorted(entry.name for entry in self.root.iterdir()) if self.root.exists() else []
        strange = [name for name in names if name.removesuffix("-unloop") not in own and name[0] != "."]
        if strange:
            raise SystemExit(
                f"expected a new --output, or the recipe's own, got {self.root} with {strange[0]}"
            )

    def check_data(self, names: Iterable[str]) -> None:
        """Checks that the stage `tokenizer` made the files that another reads.

        Raises:
            SystemExit: it did not.
        """
        for file in (self.data / name for name in names):
            if not file.exists():
                raise SystemExit(f"expected {file}, which is not there; run --stage tokenizer first")

    def corpus(self) -> dict[str, Any]:
        return dict(json.loads((self.data / "corpus.json").read_text()))


TOKENIZER_SAMPLE = 1500
EXTENT = {"steps", "minutes", "tokens", "save_every", "log_every"}
"""Of a run's plan, what may be raised to train longer."""


def begin(folder: Path, plan: Mapping[str, Any]) -> None:
    """Writes down what a run is, or continues one that is the same.

    Raises:
        SystemExit: there is another run in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "plan.json"
    before = json.loads(file.read_text()) if file.exists() else {}
    for name in sorted((before.keys() & plan.keys()) - EXTENT):
        if before[name] != plan[name]:
            raise SystemExit(
                f"expected {name} {before[name]!r} as in the run in {folder}, got {plan[name]!r}"
            )
    file.write_text(json.dumps(dict(plan)) + "\n")


def prepare(workspace: Workspace, documents: Sequence[Document], cap: int = PACKAGE_CAP_BYTES) -> None:
    """Trains the tokenizer and writes both token streams and what is in them."""
    workspace.data.mkdir(parents=True, exist_ok=True)
    training = [document for document in documents if not document.held_out]
    held_out = [document for document in documents if document.held_out]
    bpe = tokenizer.train(document.text for document in training[:TOKENIZER_SAMPLE])
    bpe.save_pretrained(workspace.tokenizer)
    record = {
        "package_cap_bytes": cap,
        "train": asdict(_write(workspace, "train", training)),
        "held_out": asdict(_write(workspace, "held_out", held_out)),
    }
    (workspace.data / "corpus.json").write_text(json.dumps(record, indent=2) + "\n")


def _write(workspace: Workspace, side: str, documents: Sequence[Document]) -> Extent:
    bpe = tokenizer.load(workspace.tokenizer)
    tokens = dataset.write(documents, bpe, workspace.data / f"{side}.bin")
    return Extent(len(documents), sum(len(document.text.encode()) for document in documents), tokens)
