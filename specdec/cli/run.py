"""A run of a decoder: timed, and compared with plain decoding."""

from collections.abc import Callable, Sequence
from time import perf_counter

from attrs import evolve, frozen

from specdec.bench.rows import first_difference
from specdec.cli.transcript import Change, Transcript
from specdec.decode import Decoder
from specdec.metrics import Summary
from specdec.options import Sampling, Stop
from specdec.text import TextStream, encode
from specdec.transports import Traffic

Show = Callable[[Change], None]
"""Takes what a step changes."""

WARM_UP = 16
ROUNDS = 3
"""An odd number, for one of an even number is no median."""
LONG = 15.0
"""Seconds of a first round that is the only one."""


@frozen
class Job:
    """What is to be generated."""

    prompt: str
    sampling: Sampling
    stop: Stop


@frozen
class Run:
    """A generated text, and the seconds that it took, prefill included.

    The last `unverified` tokens may still be retracted. `alone` tokens were drafted without the target, `retracted`
    ones replaced by the target's, and `restored` ones read from a journal.
    """

    tokens: tuple[int, ...]
    text: str
    seconds: float
    summary: Summary
    unverified: int = 0
    alone: int = 0
    retracted: int = 0
    restored: int = 0
    traffic: Traffic | None = None

    @property
    def tokens_per_second(self) -> float:
        """How fast it was."""
        return (len(self.tokens) - self.restored) / self.seconds


@frozen
class Comparison:
    """The same job decoded plainly and with drafts.

    `plain` and `fast` are the runs of median time; `difference` is the first token in which any text that there was
    differs from plain decoding's, None if all are equal.
    """

    plain: Run
    fast: Run
    difference: int | None

    @property
    def speedup(self) -> float:
        """How many times as fast decoding with drafts is."""
        return self.fast.tokens_per_second / self.plain.tokens_per_second


def run(
    job: Job, decoder: Decoder, show: Show | None = None, *, keep: bool = False, traffic: Traffic | None = None
) -> Run:
    """Decode once, and show the text as it comes; with `keep` unverified text is never retracted."""
    stream = None
    if show and decoder.tokenizer:
        stream = TextStream(decoder.tokenizer, encode(job.prompt, decoder.tokenizer))
    text, before = Transcript(stream, keep), traffic and traffic.copy()
    start = perf_counter()
    for step in decoder.stream(job.prompt, job.sampling, job.stop):
        change = text.take(step)
        if show:
            show(change)
    seconds = perf_counter() - start
    if show:
        show(text.end())
    counts = text.unsettled, text.alone, text.retracted
    sent = traffic.since(before) if traffic and before else None
    return Run(tuple(text.tokens), text.text, seconds, decoder.metrics.summary(), *counts, traffic=sent)


def warm_up(job: Job, *decoders: Decoder) -> None:
    """Decode a little, so that no run that is timed pays for first times."""
    short = evolve(job, stop=evolve(job.stop, max_tokens=min(WARM_UP, job.stop.max_tokens or WARM_UP)))
    for decoder in decoders:
        run(short, decoder)


def compare(
    job: Job, plain: Decoder, fast: Decoder, show: Callable[[int], None] = lambda _: None, before: Sequence[Run] = ()
) -> Comparison:
    """Decode plainly and with drafts in turn, three rounds or, of a long job, one, and take the medians.

    `show` gets each round's number, from 1 on. The texts of runs `before` are compared too.
    """
    plain_runs, fast_runs = list[Run](), list[Run]()
    for number in range(1, ROUNDS + 1):
        show(number)
        plain_runs.append(run(job, plain))
        fast_runs.append(run(job, fast))
        if number == 1 and plain_runs[0].seconds + fast_runs[0].seconds > LONG:
            break
    return Comparison(_median(plain_runs), _median(fast_runs), earliest_difference([*plain_runs, *before, *fast_runs]))


def earliest_difference(runs: Sequence[Run]) -> int | None:
    """Give the first token in which any text differs from the first one, None if all are equal."""
    places = [first_difference(runs[0].tokens, other.tokens) for other in runs[1:]]
    return min((place for place in places if place is not None), default=None)


def _median(runs: Sequence[Run]) -> Run:
    return sorted(runs, key=lambda run: run.seconds)[len(runs) // 2]
