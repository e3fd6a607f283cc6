"""`specdec bench --disconnect` and `--split`: what a split target is worth."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, fields, frozen
from typer import Context

from specdec.bench import peers, questions
from specdec.bench.report import console
from specdec.bench.split import disconnect
from specdec.bench.split.tables import show_disconnected
from specdec.cli.benchmark import COMMAND, DRAFTERS, SETS, progress, read_drafters, temperatures
from specdec.cli.parts import TARGET, find_target, is_zoo, load_target, spec_paths, target_hash
from specdec.errors import OptionError
from specdec.interfaces import Drafter
from specdec.outputs import Output, input_hash
from specdec.plugins import load_drafter
from specdec.target import Target

ZOO_DRAFTERS = "moa,moa:tli=1,eagle,eagle3,small_model,ngram"
TEMPERATURES = "0,1"


@frozen
class Shared:
    """The options that all experiments have."""

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


OWN: Mapping[str, set[str]] = {"disconnect": set()}
"""What each experiment has besides."""
DEFAULTS = {"disconnect": {"temperature": TEMPERATURES}}
"""Where an experiment has other defaults than a comparison."""


def run(context: Context) -> None:
    """Do the experiment that is asked for, with the options that were given.

    Raises:
        OptionError: two are asked for, or there is an option that has no use for it.
    """
    params, shared = context.params, {field.name for field in fields(Shared)}
    given = {name for name in params if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"}
    chosen = sorted(given & OWN.keys())
    if len(chosen) > 1:
        raise OptionError(f"expected one of {' and '.join(f'--{name}' for name in chosen)}, got both")
    if strange := sorted(given - shared - OWN[chosen[0]] - {chosen[0]}):
        raise OptionError(f"expected --{chosen[0]} without --{strange[0].replace('_', '-')}, which it has no use for")
    values = params | {name: value for name, value in DEFAULTS[chosen[0]].items() if name not in given}
    values["drafters"] = values["drafters"] or (ZOO_DRAFTERS if is_zoo(values["target"]) else DRAFTERS)
    _disconnect(Shared(**{name: values[name] for name in shared}))


@frozen(eq=False)
class Inputs:
    """What an experiment works on: all is read, loaded and checked before anything runs."""

    target: Target
    drafters: Mapping[str, Drafter]
    sets: Mapping[str, list[questions.Question]]
    output: Output | None

    @classmethod
    def load(cls, asked: Shared, settings: Mapping[str, Any]) -> "Inputs":
        """Load them; `settings` say what else decides what is written."""
        specs, names = read_drafters(asked.drafters, asked.target), (asked.prompts or SETS).split(",")
        if peer := next((spec.text for spec in specs if spec.name in peers.PEERS), None):
            raise OptionError(f"expected drafters that can be elsewhere than their target, got {peer!r}")
        folder = find_target(asked.target)
        read = [str(questions.find(name)[1]) for name in names] + spec_paths(*(spec.text for spec in specs))
        output = None if asked.json is None else Output.of(asked.json, COMMAND, [folder, *read])
        sets = questions.load(names, asked.limit)
        target = load_target(folder, "match", asked.device, asked.weights)
        if output is not None:
            own = asdict(asked, filter=lambda field, _: field.name not in ("json", "restart", "device"))
            hashes = {"inputs": [input_hash(path) for path in read], "target": target_hash(target)}
            output.begin(own | dict(settings) | hashes, restart=asked.restart)
        drafters = {spec.text: load_drafter(spec.name, spec.path, target, **spec.options) for spec in specs}
        return cls(target, drafters, sets, output)

    def write(self, found: Mapping[str, Any]) -> None:
        """Write what was found, if it is to be written."""
        if self.output is not None:
            self.output.write((json.dumps(found) + "\n").encode())


def _disconnect(asked: Shared) -> None:
    inputs, degrees = Inputs.load(asked, {"experiment": "disconnect"}), temperatures(asked.temperature)
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
