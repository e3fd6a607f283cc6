"""Answers as FastChat and Spec-Bench keep them: one JSON object a line, each repeat a choice."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, field, frozen

from specdec.errors import DataError


def _tuple(given: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(given)


@frozen
class Choice:
    """One decoding of a question, a value for each turn but for `accept_lengths`, the tokens of each step.

    EAGLE's files say `idxs` for what Spec-Bench calls `decoding_steps`, plain FastChat has neither.
    """

    index: int
    turns: tuple[str, ...] = field(converter=_tuple)
    decoding_steps: tuple[int, ...] = field(default=(), converter=_tuple)
    new_tokens: tuple[int, ...] = field(default=(), converter=_tuple)
    wall_time: tuple[float, ...] = field(default=(), converter=_tuple)
    accept_lengths: tuple[int, ...] = field(default=(), converter=_tuple)


@frozen
class Answer:
    """A line of such a file."""

    question_id: int | str
    answer_id: str
    model_id: str
    choices: tuple[Choice, ...]
    tstamp: float
    category: str = ""


def write(file: Path, answers: Iterable[Answer]) -> None:
    """Write a file that `read` reads, and Spec-Bench's own scripts."""
    file.write_text("".join(f"{json.dumps(asdict(answer))}\n" for answer in answers), encoding="utf-8")


def read(file: Path) -> list[Answer]:
    """Read a file of answers.

    Raises:
        DataError: the file cannot be read as that.
    """
    try:
        return [_answer(json.loads(line)) for line in file.read_text("utf-8").split("\n") if line.strip()]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"expected lines of JSON with 'choices' in {file}, got {error!r}") from error


def _answer(given: dict[str, Any]) -> Answer:
    return Answer(
        question_id=given["question_id"],
        answer_id=given.get("answer_id", ""),
        model_id=given.get("model_id", ""),
        choices=tuple(_choice(choice) for choice in given["choices"]),
        tstamp=given.get("tstamp", 0.0),
        category=given.get("category", ""),
    )


def _choice(given: dict[str, Any]) -> Choice:
    return Choice(
        index=given["index"],
        turns=given["turns"],
        decoding_steps=given.get("decoding_steps", given.get("idxs", ())),
        new_tokens=given.get("new_tokens", ()),
        wall_time=given.get("wall_time", ()),
        accept_lengths=given.get("accept_lengths", ()),
    )
