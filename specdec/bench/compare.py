"""A benchmark from Python: drafters side by side on the same prompts, or each with many shapes of trees."""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

from attrs import evolve, frozen

from specdec.bench.entry import PLAIN, Clock, Entry, Speculative, plain
from specdec.bench.figures import figures
from specdec.bench.questions import Question
from specdec.bench.rows import Row, rows
from specdec.bench.run import Plan, Run, measure, tasks
from specdec.decode import learns
from specdec.errors import OptionError
from specdec.interfaces import Drafter, TreePolicy, Verifier

Prompts = Sequence[str] | Mapping[str, Sequence[Question]]
"""Text, or sets of questions by their names."""
CANDIDATES = (
    *(f"chain:length={length}" for length in (1, 2, 3, 5)),
    *(f"static:levels={levels}" for levels in ("2", "4", "8", "2x1x1", "2x2", "2x2x1", "3x1x1", "3x2x1", "4x3")),
    "dynamic:depth=3,width=4,size=12",
    "dynamic:depth=6,width=8,size=62",
    *(
        f"dynamic:depth={depth},width={width},size={size},sharpness=3"
        for depth, width, size in ((3, 2, 6), (3, 4, 12), (4, 2, 8), (4, 4, 16), (5, 4, 32), (6, 8, 62))
    ),
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
    chosen: bool = False


def compare(
    verifier: Verifier,
    drafters: Mapping[str, Drafter | Entry],
    prompts: Prompts,
    policy: TreePolicy | str | None = None,
    plan: Plan = Plan(),  # noqa: B008  (frozen)
    *,
    clock: Clock = perf_counter,
    on_run: Callable[[Run], None] | None = None,
    on_estimate: Callable[[float], None] | None = None,
    interruptible: bool = False,
) -> list[Row]:
    """Decode prompts plainly and with each drafter, and make a row for each set, temperature and drafter.

    Plain decoding is always the first entry, called `none`. One policy shapes the drafts of all drafters; what is an
    `Entry` already keeps its own. All prompts are checked before the first is decoded.

    Args:
        verifier: the target; its tokenizer makes tokens of the prompts.
        drafters: what to compare, by the names that rows shall have.
        prompts: what to continue.
        policy: the shape of the drafts, or its spec; by default the one that suits each drafter.
        plan: temperatures, tokens, repeats and seed.
        clock: what takes the time.
        on_run: told of each run when it is over.
        on_estimate: told, before the first run, how many seconds all will take at most, roughly.
        interruptible: a keyboard interrupt ends it early, with the prompts that all have decoded.

    Raises:
        PromptError: there is no prompt, or one does not fit.
        OptionError: a drafter is called as plain decoding is, or several would share a policy that learns.
        VocabularyMismatch: a drafter is made for another vocabulary.
    """
    _check(drafters, policy)
    entries: list[Entry] = [plain(verifier, clock)]
    for name, drafter in drafters.items():
        if not isinstance(drafter, Entry):
            drafter = Speculative(name, drafter, verifier, policy, clock)
        entries.append(drafter)
    todo = tasks(_sets(prompts), plan, verifier.tokenizer, verifier.max_length, verifier.generation_config)
    runs = measure(entries, todo, plan, on_run, on_estimate, interruptible=interruptible)
    return rows(entries, runs, verifier.tokenizer, verifier.end_tokens)


def _check(drafters: Mapping[str, Drafter | Entry], policy: TreePolicy | str | None) -> None:
    if PLAIN in drafters:
        raise OptionError(
            f"expected drafters only, because plain decoding is always measured; got one called {PLAIN!r}"
        )
    sharing = [name for name, drafter in drafters.items() if not isinstance(drafter, Entry)]
    if isinstance(policy, TreePolicy) and learns(policy) and len(sharing) > 1:
        raise OptionError(
            f"expected the spec of a policy that learns, such as 'auto', for {' and '.join(sharing)} to have one each; "
            f"got {policy!r} for all"
        )


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
    entries = {
        (name, shape): Speculative(f"{name} with {shape}", drafter, verifier, shape, clock)
        for name, drafter in drafters.items()
        for shape in candidates
    }
    if not entries:
        return []
    todo = tasks({"tuning": questions}, plan, verifier.tokenizer, verifier.max_length, verifier.generation_config)
    runs = measure(list(entries.values()), todo, plan, on_run)
    trials = list[Trial]()
    for (name, shape), entry in entries.items():
        one = figures([run for run in runs if run.entry == entry.name], None)
        step_ms = one.draft_ms + one.verify_ms + one.other_ms
        trials.append(Trial(name, shape, one.tokens_per_second, one.acceptance_length, step_ms))
    for name in drafters:
        fastest = max((trial for trial in trials if trial.drafter == name), key=lambda trial: trial.tokens_per_second)
        trials[trials.index(fastest)] = evolve(fastest, chosen=True)
    return trials


def _sets(prompts: Prompts) -> Mapping[str, Sequence[Question]]:
    if isinstance(prompts, Mapping):
        return prompts
    return {"prompts": [Question(number, "", [text]) for number, text in enumerate(prompts, start=1)]}
