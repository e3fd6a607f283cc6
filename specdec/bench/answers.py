"""Answers as FastChat and Spec-Bench write them: one JSON object a line, each repeat a choice."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import time
from typing import Any

from attrs import asdict, field, fields, frozen
from transformers import PreTrainedTokenizerBase

from specdec.bench.result import Result
from specdec.bench.rows import ALL, as_text
from specdec.bench.run import Run, by_task
from specdec.errors import DataError


def _tuple(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(values)


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
    answer_id: str = ""
    model_id: str = ""
    choices: tuple[Choice, ...] = ()
    tstamp: float = 0.0
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


def _answer(line: dict[str, Any]) -> Answer:
    choices = [Choice(**_known(Choice, {"decoding_steps": each.get("idxs", ()), **each})) for each in line["choices"]]
    return Answer(**_known(Answer, {**line, "choices": tuple(choices)}))


def _known(kind: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    return {each.name: values[each.name] for each in fields(kind) if each.name in values}


def write_result(result: Result, folder: Path) -> list[Path]:
    """Write a file of answers for each row but those of all sets together, `DRAFTER-SET-TEMPERATURE.jsonl`."""
    folder.mkdir(parents=True, exist_ok=True)
    files, now = [], time()
    for row in result.rows:
        if row.prompt_set != ALL:
            name = re.sub(r"[^\w.=,-]+", "_", f"{row.drafter}-{row.prompt_set}-{row.temperature:g}")
            files.append(folder / f"{name}.jsonl")
            write(files[-1], [_answer_of(runs, result.tokenizer, now) for runs in by_task(row.runs)])
    return files


def _answer_of(runs: Sequence[Run], tokenizer: PreTrainedTokenizerBase | None, now: float) -> Answer:
    task, name = runs[0].task, runs[0].entry
    return Answer(
        question_id=task.question.question_id,
        answer_id=f"{name}-{task.sampling.temperature:g}-{task.question.question_id}",
        model_id=name,
        choices=tuple(_choice_of(run, tokenizer) for run in runs),
        tstamp=now,
        category=task.question.category,
    )


def _choice_of(run: Run, tokenizer: PreTrainedTokenizerBase | None) -> Choice:
    return Choice(
        index=run.repeat,
        turns=[as_text(run.trace.tokens, tokenizer)],
        decoding_steps=[len(run.trace.lengths)],
        new_tokens=[len(run.trace.tokens)],
        wall_time=[run.trace.seconds],
        accept_lengths=run.trace.lengths,
    )
