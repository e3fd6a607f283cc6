"""A benchmark from Python: drafters side by side on the same prompts."""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

from specdec.bench.contender import Clock, Contender
from specdec.bench.questions import Question
from specdec.bench.rows import Row, rows
from specdec.bench.run import Plan, Run, measure, tasks
from specdec.bench.speculative import PLAIN, Speculative, plain
from specdec.errors import OptionError
from specdec.interfaces import Drafter, TreePolicy, Verifier

Prompts = Sequence[str] | Mapping[str, Sequence[Question]]
"""Text, or sets of questions by their names."""


def compare(
    verifier: Verifier,
    drafters: Mapping[str, Drafter | Contender],
    prompts: Prompts,
    policy: TreePolicy | None = None,
    plan: Plan = Plan(),  # noqa: B008  (frozen)
    *,
    clock: Clock = perf_counter,
    on_run: Callable[[Run], None] | None = None,
) -> list[Row]:
    """Decode prompts plainly and with each drafter, and make a row for each set, temperature and drafter.

    Plain decoding is always the first contender, called `none`. One policy shapes the drafts of all drafters; what
    is a `Contender` already keeps its own. All prompts are checked before the first is decoded.

    Args:
        verifier: the target; its tokenizer makes tokens of the prompts.
        drafters: what to compare, by the names that rows shall have.
        prompts: what to go on from.
        policy: the shape of the drafts, by default a chain.
        plan: temperatures, tokens, repeats and seed.
        clock: what takes the time.
        on_run: told of each run when it is over.

    Raises:
        PromptError: there is no prompt, or one does not fit.
        OptionError: a drafter is called as plain decoding is.
        VocabularyMismatch: a drafter is made for another vocabulary.
    """
    if PLAIN in drafters:
        raise OptionError(f"expected drafters only, for plain decoding is always measured; got one called {PLAIN!r}")
    contenders: list[Contender] = [plain(verifier, clock)]
    for name, drafter in drafters.items():
        if isinstance(drafter, Contender):
            contenders.append(drafter)
        else:
            contenders.append(Speculative(name, drafter, verifier, policy, clock=clock))
    todo = tasks(_sets(prompts), plan, verifier.tokenizer, verifier.max_length)
    runs = measure(contenders, todo, plan, on_run)
    return rows(contenders, runs, verifier.tokenizer, verifier.end_tokens)


def _sets(prompts: Prompts) -> Mapping[str, Sequence[Question]]:
    if isinstance(prompts, Mapping):
        return prompts
    return {"prompts": [Question(number, "", [text]) for number, text in enumerate(prompts, start=1)]}
