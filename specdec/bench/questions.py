"""Sets of prompts: FastChat's `question.jsonl`, as Spec-Bench, EAGLE and Medusa use it, and HumanEval's problems."""

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from specdec.errors import PromptError
from specdec.plugins import plugins

OWN = ("question_id", "category", "turns")
PROBLEM = ("task_id", "prompt")
"""Fields of HumanEval's that stand for `question_id` and for the only one of `turns`."""


def _turns(turns: Any) -> tuple[str, ...]:
    if isinstance(turns, str) or not all(isinstance(turn, str) for turn in turns):
        raise TypeError(f"expected turns to be a list of text, got {turns!r}")
    return tuple(turns)


@frozen
class Question:
    """A line of such a file; `extra` holds the fields that are not named here, `reference` for one."""

    question_id: int | str
    category: str
    turns: tuple[str, ...] = field(converter=_turns)
    extra: Mapping[str, Any] = field(factory=dict)

    @property
    def prompt(self) -> str:
        """The first turn, which is what is continued."""
        return self.turns[0]


def read(file: Path) -> list[Question]:
    """Read a file of questions, also compressed by gzip; a line without a number has that of the line, from 1.

    Raises:
        PromptError: the file cannot be read as that, or has no questions.
    """
    try:
        data = file.read_bytes()
        text = (gzip.decompress(data) if file.suffix.lower() == ".gz" else data).decode("utf-8")
        lines = [line for line in text.split("\n") if line.strip()]
        questions = [_question(json.loads(line), number) for number, line in enumerate(lines, start=1)]
    except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError) as error:
        expected = "lines of JSON with 'turns', or with 'task_id' and 'prompt',"
        raise PromptError(f"expected {expected} in {file}, got {error!r}") from error
    if not questions:
        raise PromptError(f"expected at least one question in {file}, got none")
    return questions


def write(file: Path, questions: Iterable[Question]) -> None:
    """Write a file that `read`, FastChat and Spec-Bench read."""
    lines = [
        json.dumps({"question_id": each.question_id, "category": each.category, "turns": each.turns, **each.extra})
        for each in questions
    ]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def find(name: str) -> tuple[str, Path]:
    """Find a set that a plugin registered, or a file; give what it is called, and where it is.

    Raises:
        PromptError: it is neither.
    """
    sets = {entry.name: entry.factory for entry in plugins().entries if entry.kind == "prompts"}
    if name in sets:
        return name, Path(sets[name]())
    if not Path(name).is_file():
        known = ", ".join(sorted(sets)) or "none, because no plugin brings any"
        raise PromptError(f"expected a file of questions or a set of prompts, got {name!r}; the sets are: {known}")
    path = Path(name)
    return Path(path.stem).stem if path.suffix.lower() == ".gz" else path.stem, path


def load(names: Iterable[str], limit: int | None = None) -> dict[str, list[Question]]:
    """Read sets and files by their names, the first `limit` questions of each.

    Raises:
        PromptError: one is not there or cannot be read, or two have one name.
    """
    loaded: dict[str, list[Question]] = {}
    for name in names:
        called, file = find(name)
        if called in loaded:
            raise PromptError(f"expected sets of different names, got {called!r} twice")
        loaded[called] = read(file)[:limit]
    return loaded


def _question(line: dict[str, Any], number: int) -> Question:
    if "turns" not in line and all(key in line for key in PROBLEM):
        if not isinstance(line["prompt"], str):
            raise TypeError(f"expected a prompt of text, got {line['prompt']!r}")
        extra = {key: value for key, value in line.items() if key not in PROBLEM}
        return Question(line["task_id"], line.get("category", ""), [line["prompt"]], extra)
    if not line["turns"]:
        raise LookupError("a question without turns")
    extra = {key: value for key, value in line.items() if key not in OWN}
    return Question(line.get("question_id", number), line.get("category", ""), line["turns"], extra)
