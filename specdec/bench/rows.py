"""The rows of a benchmark: figures, and whether the text was plain decoding's."""

from collections.abc import Mapping, Sequence

from attrs import frozen
from transformers import PreTrainedTokenizerBase

from specdec.bench.entry import PLAIN, Entry
from specdec.bench.figures import Figures, figures, loops
from specdec.bench.run import Run
from specdec.errors import OptionError
from specdec.text import in_common

ALL = "all"
"""The row of all sets together, where there are several."""
AROUND = 8
"""Tokens shown on each side of a difference."""


@frozen
class Difference:
    """The first token in which a text is not that of plain decoding, counted from 0 after the prompt."""

    prompt_set: str
    question_id: int | str
    temperature: float
    seed: int
    position: int
    plain: str
    drafter: str

    def __str__(self) -> str:
        return (
            f"question {self.question_id} of {self.prompt_set}, temperature {self.temperature:g}, seed {self.seed}: "
            f"from new token {self.position + 1} on, plain decoding says {self.plain!r}, this drafter {self.drafter!r}"
        )


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
    entries: Sequence[Entry],
    runs: Sequence[Run],
    tokenizer: PreTrainedTokenizerBase | None = None,
    end_tokens: Sequence[int] = (),
) -> list[Row]:
    """Make the rows of what was measured, by set, temperature and entry; plain decoding must be among these.

    Raises:
        OptionError: it is not.
    """
    if PLAIN not in {entry.name for entry in entries}:
        raise OptionError(f"expected plain decoding, {PLAIN!r}, among what is compared, got none")
    sets = list(dict.fromkeys(run.task.prompt_set for run in runs))
    groups = {name: {name} for name in sets} | ({ALL: set(sets)} if len(sets) > 1 else {})
    temperatures = list(dict.fromkeys(run.task.sampling.temperature for run in runs))
    table = list[Row]()
    for name, members in groups.items():
        for temperature in temperatures:
            part = [run for run in runs if run.task.prompt_set in members]
            part = [run for run in part if run.task.sampling.temperature == temperature]
            if not part:  # interrupted before this set was reached
                continue
            by_entry = {entry.name: [run for run in part if run.entry == entry.name] for entry in entries}
            table += [_row(entry, name, temperature, by_entry, tokenizer, end_tokens) for entry in entries]
    return table


def _row(
    entry: Entry,
    prompt_set: str,
    temperature: float,
    by_entry: Mapping[str, list[Run]],
    tokenizer: PreTrainedTokenizerBase | None,
    end_tokens: Sequence[int],
) -> Row:
    runs, plain = by_entry[entry.name], by_entry[PLAIN]
    bound = entry.shares_noise(temperature)
    difference = _difference(runs, plain, tokenizer) if bound else None
    beside = plain if bound and difference is None else None
    looping = {id(run.task) for run in runs if loops(_body(run, end_tokens))}
    others = [run for run in runs if id(run.task) not in looping]
    plain_others = beside and [run for run in beside if id(run.task) not in looping]
    return Row(
        drafter=entry.name,
        policy=entry.policy,
        prompt_set=prompt_set,
        temperature=temperature,
        figures=figures(runs, beside),
        parameters=entry.parameters,
        equal=difference is None if bound else None,
        difference=difference,
        looping=len(looping),
        without_looping=figures(others, plain_others) if looping and others else None,
        runs=tuple(runs),
    )


def _difference(
    runs: Sequence[Run], plain: Sequence[Run], tokenizer: PreTrainedTokenizerBase | None
) -> Difference | None:
    """Find the first run that differs from the first plain run of its task."""
    expected = {id(run.task): run.trace.tokens for run in reversed(plain)}
    for run in runs:
        texts, task = (expected[id(run.task)], run.trace.tokens), run.task
        place = first_difference(*texts)
        if place is not None:
            around = (as_text(tokens[max(0, place - AROUND) : place + AROUND], tokenizer) for tokens in texts)
            sampling = task.sampling
            return Difference(
                task.prompt_set, task.question.question_id, sampling.temperature, sampling.seed, place, *around
            )
    return None


def first_difference(one: Sequence[int], other: Sequence[int]) -> int | None:
    """Find the first place where token lists differ; the shorter one's end, if it begins the longer; None if equal."""
    return None if one == other else in_common(one, other)


def as_text(tokens: Sequence[int], tokenizer: PreTrainedTokenizerBase | None) -> str:
    """Turn tokens into text, or without a tokenizer write their numbers."""
    if tokenizer is None:
        return " ".join(map(str, tokens))
    text: str = tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False)
    return text


def _body(run: Run, end_tokens: Sequence[int]) -> tuple[int, ...]:
    """Leave out the token that ends a text."""
    tokens = run.trace.tokens
    return tokens[:-1] if tokens and tokens[-1] in end_tokens else tokens
