"""A whole benchmark, and the files that it is kept in."""

import json
import re
from pathlib import Path
from time import time
from typing import Any

from attrs import asdict, frozen
from transformers import PreTrainedTokenizerBase

from specdec.bench import answers
from specdec.bench.answers import Answer, Choice
from specdec.bench.equality import as_text
from specdec.bench.rows import ALL, Row
from specdec.bench.run import Plan, Run
from specdec.bench.tune import Trial


@frozen(eq=False)
class Result:
    """What was measured, of what, on what. `policy` is that of all drafters, or `tuned`: then each row has its own."""

    target: str
    policy: str
    rule: str
    machine: dict[str, Any]
    plan: Plan
    rows: tuple[Row, ...]
    trials: tuple[Trial, ...] = ()
    tokenizer: PreTrainedTokenizerBase | None = None
    """Makes text of the answers; not written."""

    @property
    def differences(self) -> list[Row]:
        """The rows whose text is not that of plain decoding, though it must be; each once."""
        return [row for row in self.rows if row.equal is False and row.prompt_set != ALL]

    def part(self, temperature: float) -> list[Row]:
        """The rows of one temperature, of all sets together where there are several."""
        rows = [row for row in self.rows if row.temperature == temperature]
        return [row for row in rows if row.prompt_set == ALL] or rows

    def as_json(self) -> dict[str, Any]:
        """Lay out what a machine reads; the fields of a row's figures are its own."""
        return {
            "target": self.target,
            "policy": self.policy,
            "rule": self.rule,
            "machine": self.machine,
            "plan": asdict(self.plan),
            "rows": [_row(row) for row in self.rows],
            "trials": [asdict(trial) for trial in self.trials],
        }

    def write(self, file: Path) -> None:
        """Write one JSON object."""
        file.write_text(json.dumps(self.as_json()) + "\n", encoding="utf-8")


def _row(row: Row) -> dict[str, Any]:
    return {
        "drafter": row.drafter,
        "policy": row.policy,
        "prompt_set": row.prompt_set,
        "temperature": row.temperature,
        **asdict(row.figures),
        "parameters": row.parameters,
        "equal": row.equal,
        "difference": asdict(row.difference) if row.difference else None,
        "looping": row.looping,
        "without_looping": asdict(row.without_looping) if row.without_looping else None,
        "runs": [_run(run) for run in row.runs],
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "prompt_set": run.task.prompt_set,
        "question_id": run.task.question.question_id,
        "repeat": run.repeat,
        "seconds": run.trace.seconds,
        "tokens": len(run.trace.tokens),
        "steps": len(run.trace.lengths),
    }


def write_answers(result: Result, folder: Path) -> list[Path]:
    """Write a file of answers for each row but those of all sets together, `DRAFTER-SET-TEMPERATURE.jsonl`."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for row in result.rows:
        if row.prompt_set != ALL:
            name = re.sub(r"[^\w.=,-]+", "_", f"{row.drafter}-{row.prompt_set}-{row.temperature:g}")
            written.append(folder / f"{name}.jsonl")
            answers.write(written[-1], _answers(row, result.tokenizer))
    return written


def _answers(row: Row, tokenizer: PreTrainedTokenizerBase | None) -> list[Answer]:
    by_task: dict[int, list[Run]] = {}
    for run in row.runs:
        by_task.setdefault(id(run.task), []).append(run)
    now = time()
    return [_answer(row, repeats, tokenizer, now) for repeats in by_task.values()]


def _answer(row: Row, runs: list[Run], tokenizer: PreTrainedTokenizerBase | None, now: float) -> Answer:
    question = runs[0].task.question
    return Answer(
        question_id=question.question_id,
        answer_id=f"{row.drafter}-{row.temperature:g}-{question.question_id}",
        model_id=row.drafter,
        choices=tuple(_choice(run, tokenizer) for run in runs),
        tstamp=now,
        category=question.category,
    )


def _choice(run: Run, tokenizer: PreTrainedTokenizerBase | None) -> Choice:
    return Choice(
        index=run.repeat,
        turns=[as_text(run.trace.tokens, tokenizer)],
        decoding_steps=[len(run.trace.lengths)],
        new_tokens=[len(run.trace.tokens)],
        wall_time=[run.trace.seconds],
        accept_lengths=run.trace.lengths,
    )
