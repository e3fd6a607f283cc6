"""The runs of a benchmark: every prompt by all entries in turn."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product

from attrs import evolve, field, frozen
from transformers import GenerationConfig, PreTrainedTokenizerBase

from specdec.bench.entry import Entry, Trace
from specdec.bench.questions import Question
from specdec.bounds import bounds
from specdec.errors import OptionError, PromptError
from specdec.options import Sampling
from specdec.text import encode

WARM_UP = 16


def _temperatures(values: Sequence[int | float]) -> tuple[float, ...]:
    return tuple(map(float, values))


@frozen
class Plan:
    """How much is run: each prompt at each temperature, `repeats` times.

    The n-th prompt of a set, from 0, is sampled with `seed + n`, the same in each repeat: repeats tell how time
    varies, prompts how everything else does.
    """

    temperatures: tuple[float, ...] = field(default=(0.0,), converter=_temperatures)
    max_tokens: int = field(default=128, validator=bounds(1))
    repeats: int = field(default=3, validator=bounds(1))
    seed: int = 0

    @temperatures.validator
    def _some(self, _: object, temperatures: tuple[float, ...]) -> None:
        if not temperatures or len(set(temperatures)) < len(temperatures):
            raise OptionError(f"expected different temperatures, at least one, got {temperatures}")
        for temperature in temperatures:
            Sampling(temperature, seed=self.seed)


@frozen(eq=False)
class Task:
    """One prompt as it is decoded."""

    prompt_set: str
    question: Question
    prompt: tuple[int, ...]
    sampling: Sampling


@frozen(eq=False)
class Run:
    """One entry's decoding of a task; `repeat` counts from 0."""

    entry: str
    task: Task
    repeat: int
    trace: Trace


def tasks(
    sets: Mapping[str, Sequence[Question]],
    plan: Plan,
    tokenizer: PreTrainedTokenizerBase | None,
    longest: int | None = None,
    config: GenerationConfig | None = None,
) -> list[Task]:
    """Make tokens of all prompts, and check that they and what follows fit the target's `longest` row.

    All are sampled as the target's generation config asks, but for the plan's temperatures.

    Raises:
        PromptError: a prompt that does not, or is empty; or there is none.
    """
    if not any(sets.values()):
        raise PromptError("expected at least one prompt, got none")
    todo = []
    for name, questions in sets.items():
        for temperature in plan.temperatures:
            for number, question in enumerate(questions):
                prompt = tuple(encode(question.prompt, tokenizer))
                if longest is not None and len(prompt) + plan.max_tokens > longest:
                    raise PromptError(
                        f"expected question {question.question_id} of {name} and {plan.max_tokens} tokens more to fit "
                        f"the target's {longest} positions, got a prompt of {len(prompt)} tokens"
                    )
                seed = (plan.seed + number) % 2**64
                sampling = Sampling.of(config, temperature=temperature, seed=seed)
                todo.append(Task(name, question, prompt, sampling))
    return todo


def by_task(runs: Sequence[Run]) -> list[list[Run]]:
    """Group runs by their tasks, in the order of the tasks."""
    groups: dict[int, list[Run]] = {}
    for run in runs:
        groups.setdefault(id(run.task), []).append(run)
    return list(groups.values())


def measure(
    entries: Sequence[Entry],
    todo: Sequence[Task],
    plan: Plan,
    on_run: Callable[[Run], None] | None = None,
    on_estimate: Callable[[float], None] | None = None,
    *,
    interruptible: bool = False,
) -> list[Run]:
    """Warm up, then run: within a repeat each task by all entries, a different one first each time.

    `on_estimate` is told after the warm-up how many seconds it will take at most, roughly, and `on_run` of each run
    when it is over. If `interruptible`, a keyboard interrupt ends it with the tasks that all entries have done.
    """
    seconds = _warm_up(entries, todo, plan)
    if on_estimate is not None:
        on_estimate(seconds * plan.max_tokens * len(todo) * plan.repeats)
    runs, rounds = list[Run](), [(repeat, task) for repeat in range(plan.repeats) for task in todo]
    try:
        for turn, (repeat, task) in enumerate(rounds):
            first = turn % len(entries)
            done = []
            for entry in [*entries[first:], *entries[:first]]:
                trace = entry.decode(task.prompt, task.sampling, plan.max_tokens)
                done.append(Run(entry.name, task, repeat, trace))
                if on_run is not None:
                    on_run(done[-1])
            runs += done
    except KeyboardInterrupt:
        if not (interruptible and runs):
            raise
    return runs


def _warm_up(entries: Sequence[Entry], todo: Sequence[Task], plan: Plan) -> float:
    """Let each entry decode the longest prompt a little, so that no run pays for first times.

    Gives the seconds that one token of all entries took when they did it again.
    """
    longest, few = max(todo, key=lambda task: len(task.prompt)), min(WARM_UP, plan.max_tokens)
    samplings = [evolve(longest.sampling, temperature=temperature) for temperature in plan.temperatures]
    seconds = 0.0
    for again in (False, True):
        for sampling, entry in product(samplings, entries):
            trace = entry.decode(longest.prompt, sampling, few)
            seconds += trace.seconds if again else 0.0
    return seconds / few / len(samplings)
