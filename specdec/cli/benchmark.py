"""A benchmark as the command line describes it: all is read, loaded and checked before anything runs."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import evolve, frozen
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from specdec.bench import answers, peers, report
from specdec.bench.compare import CANDIDATES, Trial, compare, tune
from specdec.bench.entry import PLAIN, Clock, Entry, Speculative
from specdec.bench.plot import picture, require
from specdec.bench.questions import Question
from specdec.bench.result import Result, machine
from specdec.bench.rows import ALL
from specdec.bench.run import Plan, Run
from specdec.cli import parts
from specdec.errors import OptionError
from specdec.interfaces import Drafter
from specdec.outputs import Output, saving
from specdec.plugins import load_drafter
from specdec.spec import Spec, split
from specdec.target import Target
from specdec.training.report import duration

SETS = "functions,classes,tests"
ZOO_DRAFTERS, DRAFTERS = "moa,ngram,small_model", "ngram"
TUNED = "tuned"
COMMAND = "bench"
TUNING_PROMPTS = 8
SOON = 30.0
"""Seconds that need no estimate."""
PICTURES = (".png", ".svg", ".pdf")


@frozen(eq=False)
class Benchmark:
    """What is to be measured; `policy` is the spec of one for all drafters, or `tuned`: what suits each."""

    target: Target
    drafters: Sequence[Spec]
    sets: Mapping[str, Sequence[Question]]
    tuning: Sequence[Question]
    policy: str
    clock: Clock

    def run(self, plan: Plan, screen: Console, target: str, rule: str) -> Result:
        """Tune if there is what to tune on, and compare; a result has the names of target and rule."""
        own, others = self._load()
        trials = self._tune(plan, own) if self.tuning and own else []
        report.show_trials(trials, screen)
        shapes = {trial.drafter: trial.policy for trial in trials if trial.chosen}
        policy = None if self.policy == TUNED else self.policy
        made: dict[str, Entry] = {
            name: Speculative(name, drafter, self.target, shapes.get(name, policy), self.clock)
            for name, drafter in own.items()
        } | others
        entries = {spec.text: made[spec.text] for spec in self.drafters}
        runs = (1 + len(entries)) * _decodings(plan, self.sets)
        with bar("comparing", runs) as on_run:
            rows = compare(
                self.target,
                entries,
                self.sets,
                plan=plan,
                clock=self.clock,
                on_run=on_run,
                on_estimate=lambda seconds: estimate(runs, seconds),
                interruptible=True,
            )
        return Result(
            target=target,
            policy=TUNED if trials else self.policy,
            rule=rule,
            machine=machine(self.target.model, self.clock),
            plan=plan,
            rows=tuple(rows),
            trials=tuple(trials),
            interrupted=sum(len(row.runs) for row in rows if row.prompt_set != ALL) < runs,
            tokenizer=self.target.tokenizer,
        )

    def _load(self) -> tuple[dict[str, Drafter], dict[str, Entry]]:
        """Load specdec's own drafters, and those of transformers, which share a model."""
        own, others, model = dict[str, Drafter](), dict[str, Entry](), None
        for spec in self.drafters:
            if spec.name in peers.PEERS:
                others[spec.text] = peer = peers.Peer.load(spec, self.target, self.clock, model)
                model = peer.model
            else:
                own[spec.text] = load_drafter(spec.text, spec.path, self.target)
        return own, others

    def _tune(self, plan: Plan, drafters: Mapping[str, Drafter]) -> list[Trial]:
        once = evolve(plan, repeats=1)
        runs = len(drafters) * len(CANDIDATES) * _decodings(once, {"tuning": self.tuning})
        with bar("tuning", runs) as on_run:
            return tune(self.target, drafters, self.tuning, once, CANDIDATES, self.clock, on_run)


@frozen
class Outputs:
    """The files that a result is written to."""

    json: Output | None
    plot: Output | None
    html: Output | None
    answers: Output | None

    @classmethod
    def of(
        cls, json: Path | None, plot: Path | None, html: Path | None, answers: Path | None, inputs: Sequence[str | Path]
    ) -> "Outputs":
        """Check that all can be written, before time is spent.

        Raises:
            OptionError: as `Output.of` does; or two are the same, a package is not installed, or no such picture can be
                drawn.
        """
        named = [path for path in (json, plot, html, answers) if path is not None]
        places = [path.resolve() for path in named]
        double = next((path for path in named if places.count(path.resolve()) > 1), None)
        if double is not None:
            raise OptionError(f"expected a file of its own for each output, got {str(double)!r} twice")
        made = {
            path: Output.of(path, COMMAND, [*inputs, *named[:place]], folder=path is answers)
            for place, path in enumerate(named)
        }
        if plot and plot.suffix.lower() not in PICTURES:
            raise OptionError(f"expected a plot that ends in {', '.join(PICTURES)}, got {str(plot)!r}")
        if plot or html:
            require("matplotlib", "--plot and --html")
        if html:
            require("jinja2", "--html")
        return cls(*(made[path] if path is not None else None for path in (json, plot, html, answers)))

    def begin(self, settings: Mapping[str, object], *, restart: bool) -> None:
        """Record what they are made from.

        Raises:
            OptionError: one is there, made with other settings, and this is no `restart`.
        """
        for output in (self.json, self.plot, self.html, self.answers):
            if output:
                output.begin(settings, restart=restart)

    def write(self, result: Result) -> None:
        """Write those that are named."""
        if self.json:
            result.write(self.json.partial)
            self.json.install(self.json.partial)
        if self.plot:
            self.plot.write(picture(result, self.plot.path.suffix[1:].lower()))
        if self.html:
            self.html.write(report.page(result).encode())
        if self.answers:
            with saving(self.answers.path) as folder:
                answers.write_result(result, folder)


@contextmanager
def bar(what: str, runs: int, console: Console | None = None) -> Iterator[Callable[[Run], None]]:
    """Show on standard error, in a terminal only, how many runs are done; gives what is to be told of each."""
    with progress(what, runs, console) as advance:
        yield lambda run: advance(run.entry)


@contextmanager
def progress(what: str, total: int, console: Console | None = None) -> Iterator[Callable[[str], None]]:
    """Show how much is done; gives what is to be told of each part, by its name."""
    screen = console or Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]time left"),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[last]}"),
    )
    with Progress(*columns, console=screen, disable=not screen.is_terminal, transient=True) as shown:
        task = shown.add_task(what, total=total, last="")
        yield lambda name: shown.update(task, advance=1, last=name)


def estimate(runs: int, seconds: float) -> None:
    """Say how long it will take, on standard error, where it is not over at once."""
    if seconds >= SOON:
        print(
            f"{runs} texts, in at most {duration(seconds)}; Ctrl-C ends it with what was measured by then",
            file=sys.stderr,
        )


def temperatures(text: str) -> tuple[float, ...]:
    """Read a list of temperatures.

    Raises:
        OptionError: one is no number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise OptionError(f"expected temperatures such as 0,1, got {text!r}") from None


def read_drafters(drafters: str | None, target: str | None) -> list[Spec]:
    """Read the drafters, by default those that the target has; plain decoding need not be among them.

    Raises:
        OptionError: one is named twice, or has no name.
        ModelError: one needs a model, and the zoo has none for it.
    """
    texts = split(drafters or (ZOO_DRAFTERS if parts.is_zoo(target) else DRAFTERS))
    specs = [parts.read_drafter(text, target) for text in texts if text != PLAIN]
    double = next((text for text in texts if text != PLAIN and texts.count(text) > 1), None)
    if double is not None:
        raise OptionError(f"expected each drafter once, got {double!r} twice")
    return specs


def _decodings(plan: Plan, sets: Mapping[str, Sequence[Question]]) -> int:
    """Count how often each entry decodes, the warm-up left out."""
    return plan.repeats * len(plan.temperatures) * sum(map(len, sets.values()))
