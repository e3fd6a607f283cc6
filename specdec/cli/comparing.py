"""A benchmark as it is asked for on the command line: all is read, loaded and checked before anything runs."""

from collections.abc import Mapping, Sequence

from attrs import evolve, frozen
from rich.console import Console

from specdec.bench import peers, questions, report
from specdec.bench.compare import compare
from specdec.bench.contender import Clock, Contender
from specdec.bench.machine import machine
from specdec.bench.questions import Question
from specdec.bench.result import Result
from specdec.bench.run import Plan
from specdec.bench.speculative import PLAIN, Speculative
from specdec.bench.tune import CANDIDATES, Trial, tune
from specdec.cli import drafters, parts
from specdec.cli.drafters import Wanted
from specdec.cli.progress import Progress
from specdec.errors import OptionError
from specdec.interfaces import Drafter, TreePolicy
from specdec.plugins import load_policy, parse, plugins
from specdec.target import Target
from specdec.target.loading import load_model

SETS = ("functions", "classes", "tests")
TUNED = "tuned"
TUNING_PROMPTS = 8


@frozen
class Asked:
    """What was said; `tuning` names the set to tune on, if that is to be done."""

    drafters: str | None
    target: str | None
    prompts: str | None
    policy: str
    rule: str
    limit: int | None
    tuning: str | None
    device: str | None


@frozen(eq=False)
class Loaded:
    """What is to be measured: transformers' own ways are contenders already."""

    target: Target
    drafters: Mapping[str, Drafter]
    peers: Mapping[str, Contender]
    shapes: Mapping[str, str]
    sets: Mapping[str, Sequence[Question]]
    tuning: Sequence[Question]


def temperatures(written: str) -> tuple[float, ...]:
    """Read a list of temperatures.

    Raises:
        OptionError: one is no number.
    """
    try:
        return tuple(float(part) for part in written.split(","))
    except ValueError:
        raise OptionError(f"expected temperatures as 0,1, got {written!r}") from None


def load(asked: Asked, clock: Clock) -> Loaded:
    """Load everything.

    Raises:
        SpecdecError: something that was asked for is not there, or does not fit.
    """
    wanted = _wanted(asked)
    sets = questions.load((asked.prompts or ",".join(SETS)).split(","), asked.limit)
    most = min(TUNING_PROMPTS, asked.limit or TUNING_PROMPTS)
    tuning = [] if asked.tuning is None else next(iter(questions.load([asked.tuning], most).values()))
    own = [one for one in wanted if one.name not in peers.PEERS]
    shapes = {one.written: parts.shape(one.name) if asked.policy == TUNED else asked.policy for one in own}
    for shape in {asked.policy, *shapes.values()} - {TUNED}:
        _policy(shape)
    target = parts.load_target(parts.find_target(asked.target), asked.rule, asked.device)
    return Loaded(
        target=target,
        drafters={one.written: parts.make(one, target) for one in own},
        peers={one.written: _peer(one, target, clock) for one in wanted if one not in own},
        shapes=shapes,
        sets=sets,
        tuning=tuning,
    )


def hold(asked: Asked, plan: Plan, clock: Clock, screen: Console) -> Result:
    """Load, tune if that was asked for, and compare."""
    loaded = load(asked, clock)
    trials = _tune(loaded, plan, clock) if loaded.tuning and loaded.drafters else []
    report.show_trials(trials, screen)
    shapes = {**loaded.shapes, **{trial.drafter: trial.policy for trial in trials if trial.chosen}}
    contenders: dict[str, Contender] = {
        name: Speculative(name, drafter, loaded.target, _policy(shapes[name]), written=shapes[name], clock=clock)
        for name, drafter in loaded.drafters.items()
    } | dict(loaded.peers)
    runs = (1 + len(contenders)) * plan.repeats * len(plan.temperatures) * sum(map(len, loaded.sets.values()))
    with Progress("comparing", runs) as progress:
        rows = compare(loaded.target, contenders, loaded.sets, plan=plan, clock=clock, on_run=progress.on_run)
    return Result(
        target=asked.target or parts.TARGET,
        policy=TUNED if trials else asked.policy,
        rule=asked.rule,
        machine=machine(loaded.target.model, clock),
        plan=plan,
        rows=tuple(rows),
        trials=tuple(trials),
        tokenizer=loaded.target.tokenizer,
    )


def _wanted(asked: Asked) -> list[Wanted]:
    """Read the drafters; plain decoding needs no asking for."""
    zoo = parts.is_zoo(asked.target)
    written = drafters.split(asked.drafters or ("moa,ngram,small_model" if zoo else "ngram"))
    wanted = [drafters.read(each, zoo) for each in written if each != PLAIN]
    names = [one.written for one in wanted]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise OptionError(f"expected each drafter once, got {double!r} twice")
    return wanted


def _policy(shape: str) -> TreePolicy:
    name, options = parse(shape)
    return load_policy(name, **options)


def _peer(wanted: Wanted, target: Target, clock: Clock) -> Contender:
    """Make one of transformers' own ways to generate.

    Raises:
        OptionError: it has no such option, or is given a path that it does not take, or needs one.
    """
    name, path, given = wanted.name, wanted.path, dict(wanted.options)
    tokens = given.pop("tokens", peers.LOOKUP_TOKENS) if name == peers.LOOKUP else None
    if given:
        raise OptionError(f"expected {name} without the option {next(iter(given))!r}, got {wanted.written!r}")
    if (path is None) == (name == peers.ASSISTED):
        expected = f"{name}:PATH" if path is None else f"{name} without a path"
        raise OptionError(f"expected {expected}, got {wanted.written!r}")
    assistant = None if path is None else load_model(plugins().folder(path), device=target.model.device).eval()
    return peers.Peer(wanted.written, target, assistant, tokens, clock)


def _tune(loaded: Loaded, plan: Plan, clock: Clock) -> list[Trial]:
    runs = len(loaded.drafters) * len(CANDIDATES) * len(plan.temperatures) * len(loaded.tuning)
    with Progress("tuning", runs) as progress:
        once = evolve(plan, repeats=1)
        return tune(loaded.target, loaded.drafters, loaded.tuning, once, CANDIDATES, clock, progress.on_run)
