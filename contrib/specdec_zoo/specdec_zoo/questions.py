"""Held-out prompts in the form of FastChat's `question.jsonl`, from held-out files only."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from specdec_zoo.corpus import Document, stable_hash
from specdec_zoo.snippets import Snippet, snippets

CATEGORIES = ("functions", "classes", "tests")
SET_SIZE = 80
TUNING_SIZE = 40
MAX_PER_FILE = 4
MIN_TOKENS, MAX_TOKENS = 40, 300
PROBE_CHARACTERS = 160
TUNING_PART = 6


def write(
    documents: Sequence[Document],
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    size: int = SET_SIZE,
    tuning_size: int = TUNING_SIZE,
) -> dict[str, int]:
    """Writes the sets and returns how many prompts each holds; tuning shares no file with the others."""
    candidates = [
        snippet
        for document in documents
        if document.held_out
        for snippet in snippets(document.key, document.text)
        if snippet.category in CATEGORIES
    ]
    candidates.sort(key=lambda snippet: stable_hash(f"{snippet.key}:{snippet.prompt}"))
    fits = _fits(tokenizer, [document.text for document in documents if not document.held_out])
    for_tests = [snippet for snippet in candidates if not _for_tuning(snippet.key)]
    sets = {
        category: _choose((snippet for snippet in for_tests if snippet.category == category), size, fits)
        for category in CATEGORIES
    }
    for_tuning = [snippet for snippet in candidates if _for_tuning(snippet.key)]
    sets["tuning"] = _choose(for_tuning, tuning_size, fits)
    _write_sets(sets, folder)
    return {name: len(chosen) for name, chosen in sets.items()}


def _for_tuning(key: str) -> bool:
    return stable_hash(f"tuning:{key}") % TUNING_PART == 0


def _fits(tokenizer: PreTrainedTokenizerFast, training: Sequence[str]) -> Callable[[Snippet], bool]:
    """Whether the prompt has the right length and the true continuation is in no training file."""
    everything = "\0".join(training)

    def fits(snippet: Snippet) -> bool:
        if not MIN_TOKENS <= len(tokenizer(snippet.prompt)["input_ids"]) <= MAX_TOKENS:
            return False
        return snippet.continuation[:PROBE_CHARACTERS] not in everything

    return fits


def _choose(candidates: Iterable[Snippet], size: int, fits: Callable[[Snippet], bool]) -> list[Snippet]:
    selection: list[Snippet] = []
    per_file: Counter[str] = Counter()
    prompts: set[str] = set()
    for snippet in candidates:
        if len(selection) == size:
            break
        if per_file[snippet.key] < MAX_PER_FILE and snippet.prompt not in prompts and fits(snippet):
            per_file[snippet.key] += 1
            prompts.add(snippet.prompt)
            selection.append(snippet)
    return selection


def _write_sets(sets: dict[str, list[Snippet]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    for name, chosen in sets.items():
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for snippet in chosen:
                number += 1
                question = {
                    "question_id": number,
                    "category": snippet.category,
                    "turns": [snippet.prompt],
                    "source": snippet.key,
                }
                file.write(json.dumps(question) + "\n")


def read(folder: Path) -> list[str]:
    """The prompts of all sets but tuning."""
    files = [folder / f"{category}.jsonl" for category in CATEGORIES]
    return [json.loads(line)["turns"][0] for file in files for line in file.read_text("utf-8").splitlines()]
