"""`specdec bench --disconnect` and `--split`: experiments with a split target."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, field, fields, frozen
from attrs.validators import optional
from typer import Context

from specdec.bench import peers, questions
from specdec.bench.report import console
from specdec.bench.run import Plan, Task, tasks
from specdec.bench.split import Experiment, Link, Measured, Times, disconnect
from specdec.bench.split.pace import measure_times
from specdec.bench.split.plot import picture
from specdec.bench.split.shapes import SHAPES
from specdec.bench.split.tables import show_disconnected, show_measured
from specdec.bounds import bounds
from specdec.cli.benchmark import DRAFTERS, SETS, TUNING_PROMPTS, Outputs, progress, read_drafters, temperatures
from specdec.cli.parts import TARGET, find_target, is_zoo, load_target, spec_paths, target_hash
from specdec.cli.split_options import given
from specdec.errors import OptionError
from specdec.interfaces import Drafter
from specdec.outputs import input_hash
from specdec.plugins import load_drafter, load_policy
from specdec.target import Target

ZOO_DRAFTERS = "moa,moa:tli=1,eagle,eagle3,small_model,ngram"
TEMPERATURES = "0,1"


@frozen
class Shared:
    """The options that both experiments have."""

    drafters: str
    target: str | None
    prompts: str | None
    temperature: str
    limit: int | None
    seed: int
    device: str | None
    weights: str
    json: Path | None
    restart: bool


@frozen
class Network:
    """The options of `--split`."""

    links: str
    max_tokens: int
    pass_ms: float | None = field(validator=optional(bounds(0, above=True)))
    level_ms: float | None = field(validator=optional(bounds(0)))
    real: str | None
    tuning_prompts: str
    plot: Path | None


OWN = {"disconnect": set[str](), "split": {one.name for one in fields(Network)}}
"""The other options of each experiment."""
ELSEWHERE = {"links", "pass_ms", "level_ms", "real"}
"""Options that need `--split`."""
DEFAULTS: Mapping[str, Mapping[str, Any]] = {"disconnect": {"temperature": TEMPERATURES}, "split": {"max_tokens": 64}}
"""Defaults of an experiment that differ from those of a comparison."""


def run(context: Context) -> None:
    """Run the experiment that the options choose.

    Raises:
        OptionError: they choose two, or an option does not apply to it.
    """
    params, shared, named = context.params, {one.name for one in fields(Shared)}, given(context)
    chosen = sorted(named & OWN.keys())
    if len(chosen) > 1:
        raise OptionError(f"expected one of {' and '.join(f'--{name}' for name in chosen)}, got both")
    if not chosen:
        strange = sorted(named & ELSEWHERE)
        raise OptionError(f"expected --{strange[0].replace('_', '-')} with --split, got it alone")
    if strange := sorted(named - shared - OWN[chosen[0]] - {chosen[0]}):
        raise OptionError(f"expected --{chosen[0]} without --{strange[0].replace('_', '-')}, which it has no use for")
    values = params | {name: value for name, value in DEFAULTS[chosen[0]].items() if name not in named}
    values["drafters"] = values["drafters"] or (ZOO_DRAFTERS if is_zoo(values["target"]) else DRAFTERS)
    asked = Shared(**{name: values[name] for name in shared})
    if chosen[0] == "split":
        _split(asked, Network(**{one.name: values[one.name] for one in fields(Network)}))
    else:
        _disconnect(asked)


@frozen(eq=False)
class Inputs:
    """The inputs of an experiment, all loaded and checked before anything runs."""

    target: Target
    drafters: Mapping[str, Drafter]
    sets: Mapping[str, list[questions.Question]]
    outputs: Outputs

    @classmethod
    def load(cls, asked: Shared, settings: Mapping[str, Any], plot: Path | None = None) -> "Inputs":
        """Load the inputs; `settings` are further options on which the results depend."""
        specs, names = read_drafters(asked.drafters, asked.target), (asked.prompts or SETS).split(",")
        if not specs:
            raise OptionError(f"expected a drafter besides plain decoding, got {asked.drafters!r}")
        if peer := next((spec.text for spec in specs if spec.name in peers.PEERS), None):
            raise OptionError(f"expected drafters that can run apart from their target, got {peer!r}")
        folder = find_target(asked.target)
        read = [str(questions.find(name)[1]) for name in names] + spec_paths(*(spec.text for spec in specs))
        outputs = Outputs.of(asked.json, plot, None, None, [folder, *read])
        sets = questions.load(names, asked.limit)
        target = load_target(folder, "match", asked.device, asked.weights)
        own = asdict(asked, filter=lambda one, _: one.name not in ("json", "restart", "device"))
        hashes = {"inputs": [input_hash(path) for path in read], "target": target_hash(target)}
        outputs.begin(own | dict(settings) | hashes, restart=asked.restart)
        drafters = {spec.text: load_drafter(spec.text, spec.path, target) for spec in specs}
        return cls(target, drafters, sets, outputs)

    def write(self, found: Mapping[str, Any]) -> None:
        """Write the results, if a file was named."""
        if self.outputs.json is not None:
            self.outputs.json.write((json.dumps(found) + "\n").encode())


def _disconnect(asked: Shared) -> None:
    degrees = temperatures(asked.temperature)
    inputs = Inputs.load(asked, {"experiment": "disconnect"})
    with progress("alone", 2 * len(degrees) * len(inputs.drafters)) as advance:
        found = disconnect(
            inputs.target,
            inputs.drafters,
            inputs.sets,
            degrees,
            asked.seed,
            name=asked.target or TARGET,
            on_drafter=advance,
        )
    show_disconnected(found, console())
    inputs.write(found.as_json())


def _split(asked: Shared, network: Network) -> None:
    links = [Link.named(name) for name in network.links.split(",")]
    real = None if network.real is None else Link.named(network.real)
    if real is not None and real not in links:
        raise OptionError(f"expected --real to be one of the links {network.links}, got {network.real}")
    degrees = temperatures(asked.temperature)
    if len(degrees) > 1:
        raise OptionError(f"expected one temperature with --split, got {asked.temperature}")
    plan = Plan(degrees, network.max_tokens, seed=asked.seed)
    settings = asdict(network, filter=lambda one, _: one.name != "plot") | {"experiment": "split"}
    tuning = questions.load([network.tuning_prompts], TUNING_PROMPTS)
    inputs = Inputs.load(asked, settings, network.plot)
    experiment = _experiment(inputs, network, plan, tuning)
    with progress("over links", 2 * len(links) * (1 + len(inputs.drafters))) as advance:
        rows = experiment.rows(links, advance)
    found = Measured(
        target=asked.target or TARGET,
        pass_ms=1000 * next(iter(experiment.times.values())).target_pass,
        level_ms={name: 1000 * times.level for name, times in experiment.times.items()},
        rows=tuple(rows),
        real=tuple([] if real is None else experiment.real(real, rows)),
    )
    show_measured(found, console())
    inputs.write(found.as_json())
    if inputs.outputs.plot is not None:
        inputs.outputs.plot.write(picture(found, inputs.outputs.plot.path.suffix[1:].lower()))


def _experiment(
    inputs: Inputs, network: Network, plan: Plan, tuning: Mapping[str, list[questions.Question]]
) -> Experiment:
    target, drafters = inputs.target, inputs.drafters
    make = plan, target.tokenizer, target.max_length, target.generation_config
    todo, others = tasks(inputs.sets, *make), tasks(tuning, *make)
    times = {name: _times(target, drafter, network, others[0]) for name, drafter in drafters.items()}
    same = next(iter(times.values())).target_pass  # one target, one time
    times = {name: Times(same, each.level) for name, each in times.items()}
    return Experiment(target, drafters, todo, others, network.max_tokens, times)


def _times(target: Target, drafter: Drafter, network: Network, task: Task) -> Times:
    """Use the given times, and measure the others."""
    pass_ms, level_ms = network.pass_ms, network.level_ms
    if pass_ms is None or level_ms is None:
        measured = measure_times(target, drafter, load_policy(SHAPES[-1]), task, network.max_tokens)
        pass_ms = 1000 * measured.target_pass if pass_ms is None else pass_ms
        level_ms = 1000 * measured.level if level_ms is None else level_ms
    return Times(pass_ms / 1000, level_ms / 1000)
