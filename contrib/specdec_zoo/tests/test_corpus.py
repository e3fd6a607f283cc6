"""The corpus, its split, and the prompts cut out of it."""

import json
from pathlib import Path

import pytest
from conftest import small_roots

from specdec_zoo import corpus, questions, tokenizer
from specdec_zoo.snippets import snippets
from specdec_zoo.workspace import Workspace

SOURCE = '''
import os


class Walker(Base):
    def walk(self, path):
        """Walks."""
        for name in os.listdir(path):
            if name.endswith(".py"):
                self.visit(name)
        return self.found
'''


def test_no_text_is_on_both_sides() -> None:
    documents = corpus.load(small_roots())
    training = {document.text for document in documents if not document.held_out}
    held_out = {document.text for document in documents if document.held_out}
    assert training and held_out
    assert not training & held_out


def test_identical_file_counts_once_and_as_held_out(tmp_path: Path) -> None:
    text = "".join(f"def f{n}(x):\n    return g{n * n}(x, {n})\n" for n in range(20))
    for number in range(20):
        (tmp_path / f"copy{number}.py").write_text(text)
    (document,) = corpus.load({"": tmp_path})
    assert document.held_out


def test_package_is_capped(tmp_path: Path) -> None:
    documents = corpus.load(small_roots(), cap=50_000)
    sizes = [
        len(document.text) for document in documents if not document.held_out and "asyncio" in document.key
    ]
    assert sum(sizes[:-1]) < 50_000


@pytest.mark.parametrize("source", [b"x = 1\n", b"f(1234567890)\n" * 50, b"y = [0x12, 0x99]\n" * 10_000])
def test_data_is_left_out(source: bytes) -> None:
    assert corpus.looks_like_data(source)


def test_snippet_is_cut_after_the_docstring() -> None:
    method = next(snippet for snippet in snippets("walker.py", SOURCE) if snippet.name == "walk")
    assert method.prompt.startswith("import os\n\n\nclass Walker(Base):\n")
    assert method.prompt.endswith('"""Walks."""')
    assert method.continuation.startswith("        for name in os.listdir")


def test_prompts_come_from_held_out_files_only(workspace: Workspace, tmp_path: Path) -> None:
    documents = corpus.load(small_roots())
    counts = questions.write(documents, tokenizer.load(workspace.tokenizer), tmp_path, size=20, tuning_size=5)
    rows = {
        name: [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        for name in counts
    }
    assert counts["functions"] == 20
    sources = {name: {row["source"] for row in found} for name, found in rows.items()}
    assert all(corpus.is_held_out(source) for found in sources.values() for source in found)
    assert not sources["tuning"] & (sources["functions"] | sources["classes"] | sources["tests"])
