"""A run of a decoder: timed, and compared with plain decoding."""

from collections.abc import Callable, Iterator
from time import perf_counter

from attrs import evolve, frozen

from specdec.bench.rows import first_difference
from specdec.context import Step
from specdec.decode import Decoder
from specdec.metrics import Summary
from specdec.options import Sampling, Stop
from specdec.text import TextStream, encode

Show = Callable[[str, bool], None]
"""Takes the text that a token completes, and whether it was drafted."""

WARM_UP = 16
ROUNDS = 3
ENOUGH = 30.0
"""Seconds after which no further round is begun."""


@frozen
class Job:
    """What is to be generated."""

    prompt: str
    sampling: Sampling
    stop: Stop


@frozen
class Run:
    """What was generated, and in how many seconds, the reading of the prompt included."""

    tokens: tuple[int, ...]
    text: str
    seconds: float
    summary: Summary

    @property
    def tokens_per_second(self) -> float:
        """How fast it was."""
        return len(self.tokens) / self.seconds


@frozen
class Comparison:
    """The same job decoded plainly and with drafts."""

    plain: Run
    fast: Run

    @property
    def speedup(self) -> float:
        """How many times as fast decoding with drafts is."""
        return self.fast.tokens_per_second / self.plain.tokens_per_second

    @property
    def difference(self) -> int | None:
        """The first token in which the texts differ; None if they are equal."""
        return first_difference(self.plain.tokens, self.fast.tokens)


def run(job: Job, decoder: Decoder, show: Show | None = None) -> Run:
    """Decode once, and show the text as it comes."""
    tokens, text = list[int](), list[str]()
    stream = None
    if show and decoder.tokenizer:
        stream = TextStream(decoder.tokenizer, encode(job.prompt, decoder.tokenizer))
    start = perf_counter()
    for step in decoder.stream(job.prompt, job.sampling, job.stop):
        tokens += step.tokens[0]
        text += step.text or ()
        if show and stream:
            for piece, drafted in _pieces(stream, step):
                show(piece, drafted)
    seconds = perf_counter() - start
    if show and stream:
        show(stream.add([], last=True), False)
    return Run(tuple(tokens), "".join(text), seconds, decoder.metrics.summary())


def warm_up(job: Job, *decoders: Decoder) -> None:
    """Decode a little, so that no run that is timed pays for first times."""
    short = evolve(job, stop=evolve(job.stop, max_tokens=min(WARM_UP, job.stop.max_tokens or WARM_UP)))
    for decoder in decoders:
        run(short, decoder)


def compare(job: Job, plain: Decoder, fast: Decoder, show: Callable[[int], None] = lambda _: None) -> Comparison:
    """Decode plainly and with drafts in turn, and take the median of the rounds; `show` is told of each, from 1 on."""
    start, plain_runs, fast_runs = perf_counter(), list[Run](), list[Run]()
    while len(plain_runs) < ROUNDS and (not plain_runs or perf_counter() - start < ENOUGH):
        show(len(plain_runs) + 1)
        plain_runs.append(run(job, plain))
        fast_runs.append(run(job, fast))
    return Comparison(_median(plain_runs), _median(fast_runs))


def _median(runs: list[Run]) -> Run:
    return sorted(runs, key=lambda run: run.seconds)[len(runs) // 2]


def _pieces(stream: TextStream, step: Step) -> Iterator[tuple[str, bool]]:
    """Give each token's text; a character of several tokens comes with the last of them."""
    accepted = step.accepted[0]
    for index, token in enumerate(step.tokens[0]):
        yield stream.add([token], last=False), index < accepted
