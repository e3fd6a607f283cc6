"""A run of a decoder: timed, shown as it comes, and compared with plain decoding."""

from collections.abc import Callable, Iterator
from time import perf_counter
from unicodedata import category

from attrs import evolve, frozen
from rich.console import Console

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
DRAFTED = "green"


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


class Screen:
    """Shows a run while it lasts."""

    def __init__(self, console: Console | None = None, quiet: bool = False) -> None:
        self.console = console or Console(quiet=quiet, highlight=False)

    def begin(self, prompt: str, decoder: Decoder) -> None:
        """Show the text that is continued; a chat's answer stands alone."""
        if self.console.is_terminal and not (decoder.tokenizer and decoder.tokenizer.chat_template):
            self.console.out(prompt, style="dim", end="")

    def piece(self, text: str, drafted: bool) -> None:
        """Show what a token adds, in the colour of where it came from."""
        if self.console.quiet:
            return
        if not self.console.is_terminal:
            self.console.file.write(text)
            return
        safe = "".join(letter if letter in "\n\t" or category(letter) != "Cc" else "\ufffd" for letter in text)
        self.console.out(safe, style=DRAFTED if drafted else None, end="")

    def end(self, run: Run, comparison: Comparison | None) -> None:
        """Show the figures."""
        timed, summary = comparison.fast if comparison else run, run.summary
        self.console.print(
            f"\n\n[bold]{timed.tokens_per_second:.1f} tokens/s[/], acceptance length {summary.acceptance_length:.2f}, "
            f"{len(run.tokens)} tokens in {summary.steps} steps ([{DRAFTED}]drafted[/], the target's own)",
            soft_wrap=True,
        )
        if comparison:
            place, speed = comparison.difference, comparison.plain.tokens_per_second
            equal, differ = f"[{DRAFTED}]the texts are equal", f"[red]the texts differ from token {(place or 0) + 1} on"
            self.console.print(
                f"plain decoding: {speed:.1f} tokens/s; speed-up {comparison.speedup:.2f}; "
                f"{equal if place is None else differ}[/]",
                soft_wrap=True,
            )


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


def compare(job: Job, plain: Decoder, fast: Decoder) -> Comparison:
    """Decode plainly and with drafts in turn, and take the median of the rounds."""
    start, plain_runs, fast_runs = perf_counter(), list[Run](), list[Run]()
    while len(plain_runs) < ROUNDS and (not plain_runs or perf_counter() - start < ENOUGH):
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
