"""Completions with drafts made on the server."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from functools import partial
from queue import SimpleQueue
from sys import maxsize
from threading import Lock
from typing import Any

from attrs import define, field, frozen

from specdec import Decoder, Drafter, Stop, Target, Transport, TreePolicy
from specdec.errors import TransportError
from specdec.remote import Host, Remote
from specdec_serve.requests import Job
from specdec_serve.stops import StopText

STOP, LENGTH = "stop", "length"


@frozen
class Piece:
    """What a step adds to answer `number`; `finish` is OpenAI's reason if the answer ends there."""

    number: int
    text: str
    tokens: int
    finish: str | None = None


SteppedPieces = Generator[Piece, None, None]


@define(eq=False)
class Pieces:
    """The pieces of a job's answers, each computed in the thread that asks for it.

    `close` waits for a thread that is computing one, whose asyncio task may have been cancelled, then ends the job.
    """

    _steps: SteppedPieces
    _lock: Any = field(factory=Lock, init=False)

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        """Compute the next piece.

        Raises:
            TransportError: the server has no room for the job, or is stopping.
        """
        with self._lock:
            return next(self._steps)

    def close(self) -> None:
        """End the job."""
        with self._lock:
            self._steps.close()


@define(eq=False)
class Drafting:
    """Generates with a host's target, sharing its passes with remote drafters.

    Each running job takes one of `drafters` and puts it back. A step may take `patience` seconds. Once `stopped`, jobs
    that lose their line to the host end, and new ones do not begin.
    """

    host: Host
    target: Target
    drafters: SimpleQueue[Drafter]
    policy: TreePolicy
    patience: float = 60.0
    stopped: bool = False

    def generate(self, job: Job, tenant: str) -> "Pieces":
        """Generate the answers of a tenant's job."""
        return Pieces(self._generate(job, tenant))

    def _generate(self, job: Job, tenant: str) -> SteppedPieces:
        with ExitStack() as stack:
            drafter = self.drafters.get()
            stack.callback(self.drafters.put, drafter)
            connect, tokenizer = partial(self._connect, tenant), self.target.tokenizer
            remote = Remote(connect, tokenizer, codec="float32", patience=self.patience)
            decoder = stack.enter_context(Decoder(drafter, remote, self.policy))
            most = remote.max_length or maxsize
            rooms = [min(job.stop.max_tokens or maxsize, most - len(prompt)) for prompt in job.prompts]
            answers = [Answer(number, room, job.stop, remote.end_tokens) for number, room in enumerate(rooms)]
            steps = decoder.stream(job.prompts, job.sampling, job.stop)
            stack.callback(steps.close)  # before the decoder, so that the sessions are closed
            for step in steps:
                for answer, tokens, text in zip(answers, step.tokens, step.text or (), strict=True):
                    if tokens and not answer.finished:
                        yield answer.add(tokens, text)
                if all(answer.finished for answer in answers):  # in their texts, if not by what the decoder looks at
                    return
            yield from (answer.end() for answer in answers if not answer.finished)

    def _connect(self, tenant: str) -> Transport:
        """Connect to the host.

        Raises:
            TransportError: the server is stopping; unlike a lost line, this one is not made again.
        """
        if self.stopped:
            raise TransportError("the server is stopping; try another")
        return self.host.connect(tenant)


@define(eq=False)
class Answer:
    """One answer so far, of at most `limit` tokens."""

    number: int
    limit: int
    stop: Stop
    end_tokens: tuple[int, ...]
    tokens: int = 0
    finished: bool = False
    text: StopText = field()

    @text.default
    def _(self) -> StopText:
        return StopText(self.stop.strings)

    def add(self, tokens: list[int], text: str) -> Piece:
        """Add a step's tokens and text."""
        self.tokens += len(tokens)
        ended, full = tokens[-1] in self.end_tokens, self.tokens >= self.limit
        piece = self.text.add(text, last=ended or full)
        finish = STOP if ended or self.text.stopped else LENGTH if full else None
        self.finished = finish is not None
        return Piece(self.number, piece, len(tokens), finish)

    def end(self) -> Piece:
        """End an answer whose stop string begins in the prompt."""
        return Piece(self.number, self.text.add("", last=True), 0, STOP)
