"""Which shape of tree is fastest for each drafter, found on prompts that are not those of the benchmark."""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

from attrs import frozen

from specdec.bench.contender import Clock
from specdec.bench.figures import figures
from specdec.bench.questions import Question
from specdec.bench.run import Plan, Run, measure, tasks
from specdec.bench.speculative import Speculative
from specdec.interfaces import Drafter, Verifier
from specdec.plugins import load_policy, parse

CANDIDATES = (
    "chain:length=1",
    "static:levels=2",
    "static:levels=4",
    "static:levels=8",
    "chain:length=2",
    "chain:length=3",
    "chain:length=5",
    "static:levels=2x1x1",
    "static:levels=2x2",
    "static:levels=2x2x1",
    "static:levels=3x1x1",
    "static:levels=3x2x1",
    "static:levels=4x3",
    "dynamic:depth=3,width=4,size=12",
    "dynamic:depth=6,width=8,size=62",
    "dynamic:depth=3,width=2,size=6,sharpness=3",
    "dynamic:depth=3,width=4,size=12,sharpness=3",
    "dynamic:depth=4,width=2,size=8,sharpness=3",
    "dynamic:depth=4,width=4,size=16,sharpness=3",
    "dynamic:depth=5,width=4,size=32,sharpness=3",
    "dynamic:depth=6,width=8,size=62,sharpness=3",
    "adaptive:size=8,depth=4,width=3,sharpness=3",
    "adaptive:size=16,depth=6,width=4,sharpness=3",
)
"""Kinds of trees, each from little to much."""


@frozen
class Trial:
    """How one drafter did with one shape; `chosen` if none was faster."""

    drafter: str
    policy: str
    tokens_per_second: float
    acceptance_length: float
    step_ms: float
    chosen: bool


def tune(
    verifier: Verifier,
    drafters: Mapping[str, Drafter],
    questions: Sequence[Question],
    plan: Plan,
    candidates: Sequence[str] = CANDIDATES,
    clock: Clock = perf_counter,
    on_run: Callable[[Run], None] | None = None,
) -> list[Trial]:
    """Decode the questions with every pair of drafter and shape in turn; the most tokens per second win."""
    names = {(drafter, shape): f"{drafter} with {shape}" for drafter in drafters for shape in candidates}
    contenders = []
    for (drafter, shape), name in names.items():
        kind, options = parse(shape)
        policy = load_policy(kind, **options)
        contenders.append(Speculative(name, drafters[drafter], verifier, policy, written=shape, clock=clock))
    todo = tasks({"tuning": questions}, plan, verifier.tokenizer, verifier.max_length)
    runs = measure(contenders, todo, plan, on_run) if contenders else []
    found = {pair: figures([run for run in runs if run.contender == name], None) for pair, name in names.items()}
    fastest = {}
    for drafter in drafters:
        speeds = {shape: found[drafter, shape].tokens_per_second for shape in candidates}
        fastest[drafter] = max(speeds, key=speeds.__getitem__)
    return [
        Trial(
            drafter=drafter,
            policy=shape,
            tokens_per_second=one.tokens_per_second,
            acceptance_length=one.acceptance_length,
            step_ms=one.draft_ms + one.verify_ms + one.other_ms,
            chosen=fastest[drafter] == shape,
        )
        for (drafter, shape), one in found.items()
    ]
