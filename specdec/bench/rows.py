"""The rows of a benchmark: figures, and whether the text was plain decoding's."""

from collections.abc import Mapping, Sequence

from attrs import frozen
from transformers import PreTrainedTokenizerBase

from specdec.bench.contender import Contender
from specdec.bench.equality import Difference, around, first_difference
from specdec.bench.figures import Figures, figures
from specdec.bench.loops import loops
from specdec.bench.run import Run
from specdec.bench.speculative import PLAIN
from specdec.errors import OptionError

ALL = "all"
"""The row of all sets together, where there are several."""


@frozen
class Row:
    """One drafter on one set of prompts at one temperature.

    `equal` says whether all texts were those of plain decoding, None where they need not be, for the noise is another.
    Only where they were is there a speed-up. `looping` counts prompts after which the text goes round in circles, which
    flatters any drafter; `without_looping` has the figures of the others, None if there are no others or no loops.
    """

    drafter: str
    policy: str | None
    prompt_set: str
    temperature: float
    figures: Figures
    parameters: int
    equal: bool | None
    difference: Difference | None
    looping: int
    without_looping: Figures | None
    runs: tuple[Run, ...]


def rows(
    contenders: Sequence[Contender],
    runs: Sequence[Run],
    tokenizer: PreTrainedTokenizerBase | None = None,
    end_tokens: Sequence[int] = (),
) -> list[Row]:
    """Make the rows of what was measured, by set, temperature and contender; plain decoding must be among these.

    Raises:
        OptionError: it is not.
    """
    if PLAIN not in {contender.name for contender in contenders}:
        raise OptionError(f"expected plain decoding, {PLAIN!r}, among what is compared, got none")
    sets = list(dict.fromkeys(run.task.prompt_set for run in runs))
    groups = {name: {name} for name in sets} | ({ALL: set(sets)} if len(sets) > 1 else {})
    temperatures = list(dict.fromkeys(run.task.sampling.temperature for run in runs))
    made = []
    for name, members in groups.items():
        for temperature in temperatures:
            chosen = [
                run for run in runs if run.task.prompt_set in members and run.task.sampling.temperature == temperature
            ]
            by_name = {one.name: [run for run in chosen if run.contender == one.name] for one in contenders}
            made += [_row(one, name, temperature, by_name, tokenizer, end_tokens) for one in contenders]
    return made


def _row(
    contender: Contender,
    prompt_set: str,
    temperature: float,
    by_name: Mapping[str, list[Run]],
    tokenizer: PreTrainedTokenizerBase | None,
    end_tokens: Sequence[int],
) -> Row:
    runs, plain = by_name[contender.name], by_name[PLAIN]
    bound = contender.shares_noise(temperature)
    difference = _difference(runs, plain, tokenizer) if bound else None
    beside = plain if bound and difference is None else None
    looping = {id(run.task) for run in runs if loops(_body(run, end_tokens))}
    others = [run for run in runs if id(run.task) not in looping]
    plain_others = beside and [run for run in beside if id(run.task) not in looping]
    return Row(
        drafter=contender.name,
        policy=contender.policy,
        prompt_set=prompt_set,
        temperature=temperature,
        figures=figures(runs, beside),
        parameters=contender.parameters,
        equal=difference is None if bound else None,
        difference=difference,
        looping=len(looping),
        without_looping=figures(others, plain_others) if looping and others else None,
        runs=tuple(runs),
    )


def _difference(
    runs: Sequence[Run], plain: Sequence[Run], tokenizer: PreTrainedTokenizerBase | None
) -> Difference | None:
    """Find the first run that says another thing than the first plain run of its task."""
    said = {id(run.task): run.trace.tokens for run in reversed(plain)}
    for run in runs:
        expected, task = said[id(run.task)], run.task
        place = first_difference(expected, run.trace.tokens)
        if place is not None:
            return Difference(
                prompt_set=task.prompt_set,
                question_id=task.question.question_id,
                temperature=task.sampling.temperature,
                seed=task.sampling.seed,
                position=place,
                plain=around(expected, place, tokenizer),
                said=around(run.trace.tokens, place, tokenizer),
            )
    return None


def _body(run: Run, end_tokens: Sequence[int]) -> tuple[int, ...]:
    """Leave out the token that ends a text."""
    tokens = run.trace.tokens
    return tokens[:-1] if tokens and tokens[-1] in end_tokens else tokens
