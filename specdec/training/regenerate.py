"""Answers by the target itself, in place of those that a data set came with."""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any
from zlib import crc32

from attrs import define, evolve, field, frozen
from transformers import PreTrainedTokenizerBase

from specdec.decode import Decoder
from specdec.errors import DataError, OptionError
from specdec.options import Sampling, Stop
from specdec.training import files
from specdec.training.chat import ANSWERS, laid_out, rendered
from specdec.training.records import Conversation, Document, Record


@frozen
class Lengths:
    """How long prompts and answers are, in tokens; `room` is what the target has for both, None if that is unlimited.

    A text without a prompt lends its first `prompt` tokens.
    """

    prompt: int = 64
    answer: int = 256
    room: int | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("prompt", "answer"):
            if getattr(self, name) < 1:
                raise OptionError(f"expected at least 1 token of {name}, got {getattr(self, name)}")

    def fits(self, tokens: Sequence[int]) -> bool:
        """Whether an answer fits after these."""
        return self.room is None or len(tokens) + self.answer <= self.room


@define
class Chat:
    """A conversation whose answers are generated in turn; where no further one fits, it ends with the last that did."""

    tokenizer: PreTrainedTokenizerBase
    turns: list[dict[str, str]]
    lengths: Lengths
    answered: list[dict[str, str]] = field(factory=list)

    def prompt(self) -> list[int] | None:
        """Give what the next answer continues; None when all are there."""
        if not any(turn["role"] == ANSWERS for turn in self.turns[len(self.answered) :]):
            return None
        tokens = laid_out(self.answered + self._next_turns(), self.tokenizer, asking=True)
        return tokens if self.lengths.fits(tokens) else None

    def check(self) -> None:
        """Lay out all that will be asked and answered, with the answers of the record in place of the target's.

        Raises:
            DataError: the chat template does not take the turns in their order.
        """
        ends = [place for place, turn in enumerate(self.turns) if turn["role"] == ANSWERS]
        for end in ends:
            rendered(self.turns[:end], self.tokenizer, asking=True)
        rendered(self.turns[: ends[-1] + 1], self.tokenizer)

    def take(self, tokens: Sequence[int], text: str) -> None:
        """Take the next answer."""
        self.answered += [*self._next_turns(), {"role": ANSWERS, "content": text}]

    def line(self) -> dict[str, Any]:
        """Give the record with the answers."""
        return {"messages": self.answered}

    def _next_turns(self) -> list[dict[str, str]]:
        """Give the turns up to the next answer."""
        return list(takewhile(lambda turn: turn["role"] != ANSWERS, self.turns[len(self.answered) :]))


@define
class Continuation:
    """A text to continue; the response keeps special tokens, the end of the text among them.

    Where nothing can be read of a response, the text stands alone.
    """

    tokenizer: PreTrainedTokenizerBase
    text: str
    response: str | None = None

    def prompt(self) -> list[int] | None:
        return list(self.tokenizer(self.text)["input_ids"]) if self.response is None else None

    def take(self, tokens: Sequence[int], text: str) -> None:
        before = self.prompt() or []
        self.response = self._decode([*before, *tokens])[len(self._decode(before)) :]

    def line(self) -> dict[str, Any]:
        return {"prompt": self.text, "response": self.response} if self.response else {"text": self.text}

    def _decode(self, tokens: list[int]) -> str:
        text: str = self.tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
        return text


Job = Chat | Continuation
"""A record whose answers are generated one after the other."""


def jobs(
    paths: Sequence[str | Path],
    tokenizer: PreTrainedTokenizerBase,
    lengths: Lengths,
    *,
    skip_malformed: bool = False,
) -> tuple[list[Job], int]:
    """Read and check records; plain files are cut into pieces, each as long as a prompt and an answer.

    Raises:
        DataError: a line cannot be used; the message names file and line. Or it is skipped and counted.
    """

    def use(record: Record) -> list[Job]:
        jobs = list(_jobs(record, tokenizer, lengths))
        for job in jobs:
            _check(job, lengths)
        return jobs

    return files.read(paths, use, skip_malformed=skip_malformed)


def fingerprint(todo: Sequence[Job]) -> str:
    """Hash what the answers depend on, but for target and sampling."""
    total = 0
    for job in todo:
        source = job.turns if isinstance(job, Chat) else job.text
        total = crc32(json.dumps([source, job.prompt()]).encode(), total)
    return f"{total:08x}"


def write(
    decoder: Decoder,
    todo: Sequence[Job],
    output: Path,
    sampling: Sampling,
    answer: int,
    batch: int,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Write the records with their answers as JSONL, and continue after the whole batches that are there already.

    Record i is sampled with `seed + i`. `progress` is called with the number of records written.
    """
    done = _written(output, batch, len(todo))
    progress(done)
    with output.open("a", encoding="utf-8") as file:
        for start in range(done, len(todo), batch):
            part = todo[start : start + batch]
            samplings = [evolve(sampling, seed=(sampling.seed + start + row) % 2**64) for row in range(len(part))]
            _answer(decoder, part, samplings, Stop(answer))
            file.write("".join(json.dumps(job.line(), ensure_ascii=False) + "\n" for job in part))
            file.flush()
            progress(start + len(part))


def _answer(decoder: Decoder, part: Sequence[Job], samplings: Sequence[Sampling], stop: Stop) -> None:
    """Generate the next answer of each, together, until all are there."""
    while True:
        prompts = [(job, job.prompt(), sampling) for job, sampling in zip(part, samplings, strict=True)]
        waiting = [(job, prompt, sampling) for job, prompt, sampling in prompts if prompt is not None]
        if not waiting:
            return
        answers = decoder.generate([prompt for _, prompt, _ in waiting], [sampling for *_, sampling in waiting], stop)
        for (job, *_), tokens, text in zip(waiting, answers.tokens, answers.text or (), strict=True):
            job.take(tokens, text)


def _jobs(record: Record, tokenizer: PreTrainedTokenizerBase, lengths: Lengths) -> Iterator[Job]:
    if isinstance(record, Conversation):
        yield Chat(tokenizer, list(record.messages), lengths)
    elif isinstance(record, Document):
        tokens, size = tokenizer(record.text, verbose=False)["input_ids"], lengths.prompt + lengths.answer
        for start in range(0, len(tokens), size):
            yield Continuation(tokenizer, _beginning(tokens[start : start + size], tokenizer, lengths.prompt))
    else:
        tokens = tokenizer(record.text, verbose=False)["input_ids"]
        yield Continuation(tokenizer, record.prompt or _beginning(tokens, tokenizer, lengths.prompt))


def _beginning(tokens: Sequence[int], tokenizer: PreTrainedTokenizerBase, count: int) -> str:
    """Give the text of the first tokens, without half a character at its end."""
    text: str = tokenizer.decode(tokens[:count], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text.rstrip("\N{REPLACEMENT CHARACTER}")


def _check(job: Job, lengths: Lengths) -> None:
    """Refuse what cannot be answered at all."""
    prompt = job.prompt()
    if prompt == []:
        raise DataError("expected a prompt of at least one token before the answer, got none")
    if prompt is None or not lengths.fits(prompt):
        raise DataError(
            f"expected a prompt that leaves room for an answer of {lengths.answer} tokens "
            f"in the target's {lengths.room} positions, got a longer one"
        )
    if isinstance(job, Chat):
        job.check()


def _written(output: Path, batch: int, count: int) -> int:
    """Count the lines of whole batches, of `count` in all, and cut off what comes after them."""
    if not output.exists():
        return 0
    lines = output.read_bytes().splitlines(keepends=True)
    whole = sum(line.endswith(b"\n") for line in lines)
    complete = count if whole >= count else whole // batch * batch
    with output.open("r+b") as file:
        file.truncate(sum(map(len, lines[:complete])))
    return complete
