"""What drafters generate alone once the line is cut, compared with the target."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import exp
from typing import Any

from attrs import asdict, frozen

from specdec.bench.entry import PLAIN
from specdec.bench.interval import Interval
from specdec.bench.lead import pairs_of_kinds
from specdec.bench.questions import Question
from specdec.bench.run import Plan, tasks
from specdec.bench.split.continuation import ALONE, ONLINE, Continuation, continue_alone, cut_texts, judge
from specdec.errors import PromptError
from specdec.interfaces import Drafter
from specdec.policies import Chain
from specdec.target import Target

PLACES = (10, 20, 50)
"""Numbers of tokens after the cut over which agreement is measured."""
POLICY = Chain(10)


@frozen
class Alone:
    """The means of one drafter over all texts, with the features `learnt` before the cut or without; None: the target.

    `said` is the number of tokens, at most 50, and `prefix` that before the first that differs from the target's;
    `agreement` is the share of positions with the target's token, by tokens after the cut; `perplexity` is under the
    target at temperature 1; `looping` and `python` are shares of texts, the latter of those that are a valid beginning
    of a Python module at the cut.
    """

    drafter: str
    learnt: bool | None
    temperature: float
    texts: int
    said: float
    prefix: float
    agreement: dict[int, float]
    perplexity: float | None
    looping: float
    python: float | None


@frozen
class LeadAlone:
    """One drafter's lead over another on the same texts: in tokens of prefix, and in share of agreement."""

    drafter: str
    other: str
    learnt: bool
    temperature: float
    prefix: Interval
    agreement: Interval


@frozen
class Disconnected:
    """All results; none is a time, so the same command gives the same results again."""

    target: str
    rows: tuple[Alone, ...]
    leads: tuple[LeadAlone, ...]

    def as_json(self) -> dict[str, Any]:
        """The results as JSON has them."""
        return asdict(self)


def disconnect(
    target: Target,
    drafters: Mapping[str, Drafter],
    sets: Mapping[str, Sequence[Question]],
    temperatures: Sequence[float] = (0.0, 1.0),
    seed: int = 0,
    *,
    name: str = "",
    on_drafter: Callable[[str], None] | None = None,
) -> Disconnected:
    """Cut each text after 50 tokens of the target's, and have each drafter generate 50 more alone, along a chain.

    Where the target samples, drafters share its noise. Leads are those of the first drafter, and of others of its
    kind, as `moa:tli=1` beside `moa`, over each of another kind.

    Raises:
        PromptError: no prompt has a long enough continuation.
    """
    plan = Plan(temperatures, ONLINE + ALONE, seed=seed)
    todo = tasks(sets, plan, target.tokenizer, target.max_length, target.generation_config)
    rows, leads = list[Alone](), list[LeadAlone]()
    for temperature in plan.temperatures:
        texts = cut_texts(target, [task for task in todo if task.sampling.temperature == temperature])
        if not texts:
            raise PromptError(f"expected a prompt that the target continues by {ONLINE + ALONE} tokens, got none")
        rows.append(_row(PLAIN, None, temperature, judge(target, texts, [text.wanted for text in texts])))
        for learnt in (True, False):
            said = dict[str, list[Continuation]]()
            for drafter in drafters:
                said[drafter] = continue_alone(drafters[drafter], POLICY, target, texts, learnt=learnt)
                if on_drafter is not None:
                    on_drafter(drafter)
            rows += [_row(drafter, learnt, temperature, found) for drafter, found in said.items()]
            leads += _leads(said, learnt, temperature)
    return Disconnected(name, tuple(rows), tuple(leads))


def _row(drafter: str, learnt: bool | None, temperature: float, found: Sequence[Continuation]) -> Alone:
    def mean(values: Sequence[float]) -> float:
        return sum(values) / len(values)

    count = sum(len(each.said) for each in found)
    python = [each.python for each in found if each.python is not None]
    return Alone(
        drafter=drafter,
        learnt=learnt,
        temperature=temperature,
        texts=len(found),
        said=count / len(found),
        prefix=mean([each.prefix for each in found]),
        agreement={places: mean([each.agreement(places) for each in found]) for places in PLACES},
        perplexity=exp(sum(each.nll for each in found) / count) if count else None,
        looping=mean([each.looping for each in found]),
        python=mean(python) if python else None,
    )


def _leads(said: Mapping[str, Sequence[Continuation]], learnt: bool, temperature: float) -> Iterator[LeadAlone]:
    for drafter, other in pairs_of_kinds(list(said)):
        pairs = list(zip(said[drafter], said[other], strict=True))
        prefix = Interval.mean([one.prefix - two.prefix for one, two in pairs])
        agreement = Interval.mean([one.agreement(ALONE) - two.agreement(ALONE) for one, two in pairs])
        yield LeadAlone(drafter, other, learnt, temperature, prefix, agreement)
