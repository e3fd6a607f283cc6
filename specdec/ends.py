"""Where each sequence ends: end tokens, stop strings, and its limit."""

from collections.abc import Sequence
from itertools import cycle
from threading import Lock
from weakref import WeakKeyDictionary

import torch
from attrs import evolve, frozen
from transformers import PreTrainedTokenizerBase, StopStringCriteria

from specdec.context import Context, Step
from specdec.errors import OptionError, PromptError
from specdec.interfaces import Drafter
from specdec.options import Stop

PREPARED = 8
"""Sets of stop strings that stay prepared for a tokenizer."""


def limits_of(
    prompts: Sequence[Sequence[int]], stops: Sequence[Stop], max_length: int | None, length_advice: str = ""
) -> list[int]:
    """Work out the lengths that sequences may reach; the advice is for those that cannot.

    Raises:
        PromptError: there is no prompt, or one that leaves no room for what is to be generated.
        OptionError: neither a stop nor the target knows a limit.
    """
    if not prompts:
        raise PromptError("expected at least one prompt, got none")
    for number, (prompt, stop) in enumerate(zip(prompts, stops, strict=True)):
        if stop.max_tokens is None and max_length is None:
            raise OptionError("expected max_tokens, because the target has no maximum length; got None")
        if max_length is not None and len(prompt) + (stop.max_tokens or 1) > max_length:
            name = f"prompt {number}" if len(prompts) > 1 else "the prompt"
            raise PromptError(
                f"expected {name} and what follows it to fit the target's {max_length} positions, "
                f"got {len(prompt)} tokens and {stop.max_tokens or 1} to generate"
                + (f"; {length_advice}" if length_advice else "")
            )
    pairs = zip(prompts, stops, strict=True)
    return [len(prompt) + stop.max_tokens if stop.max_tokens else max_length or 0 for prompt, stop in pairs]


def check_reach(limits: Sequence[int], drafter: Drafter) -> None:
    """Check that a drafter can read sequences as long as they may become.

    Raises:
        PromptError: one may grow longer.
    """
    longest, reach = max(limits), drafter.max_length
    if reach is not None and longest > reach:
        raise PromptError(
            f"expected sequences within the {reach} positions of {type(drafter).__name__}, got a limit of {longest}"
            + (f"; {drafter.length_advice}" if drafter.length_advice else "")
        )


@frozen(eq=False)
class End:
    """Finds where one sequence ends, of its own."""

    tokens: frozenset[int]
    strings: StopStringCriteria | None

    def find(self, before: list[int], tokens: list[int]) -> int | None:
        """Count the tokens up to the first that ends the sequence."""
        for count, token in enumerate(tokens, 1):
            if token in self.tokens or self._completes_string(before, tokens[:count]):
                return count
        return None

    def _completes_string(self, before: list[int], tokens: list[int]) -> bool:
        if self.strings is None:
            return False
        last = [*before[-self.strings.maximum_token_len :], *tokens]
        return bool(self.strings(torch.tensor([last]), torch.empty(0))[0])


class Ends:
    """Finds where each sequence ends inside a step."""

    def __init__(
        self, stop: Stop | Sequence[Stop], end_tokens: Sequence[int], tokenizer: PreTrainedTokenizerBase | None
    ) -> None:
        """Take one stop for all sequences or one for each, and its end tokens, or else those that are given.

        Raises:
            OptionError: stop strings, and no tokenizer to find them with.
        """
        stops = [stop] if isinstance(stop, Stop) else stop
        self._ends = [
            End(frozenset(end_tokens if one.tokens is None else one.tokens), _prepared(one.strings, tokenizer))
            for one in stops
        ]

    def cut(self, context: Context, step: Step) -> tuple[Step, list[bool]]:
        """Cut a step after each sequence's end; say which sequences are done."""
        tokens, done, starts = list[list[int]](), list[bool](), context.starts(step)
        for number, (new, end) in enumerate(zip(step.tokens, cycle(self._ends), strict=False)):
            before, room = context.tokens[number][: starts[number]], context.limits[number] - starts[number]
            count = end.find(before, new[:room])
            tokens.append(new[: room if count is None else count])
            done.append((context.done[number] and not new) or count is not None or len(new) >= room)
        accepted = [min(pair) for pair in zip(step.accepted, map(len, tokens), strict=True)]
        retracted = tuple(len(text) - start for text, start in zip(context.tokens, starts, strict=True))
        return evolve(step, tokens=tokens, accepted=accepted, retracted=retracted), done


_criteria = WeakKeyDictionary[PreTrainedTokenizerBase, dict[tuple[int, tuple[str, ...]], StopStringCriteria]]()
_changing = Lock()
"""Held while `_criteria` are looked up or changed, by threads that each decode."""


def _prepared(strings: tuple[str, ...], tokenizer: PreTrainedTokenizerBase | None) -> StopStringCriteria | None:
    """Compare stop strings with all tokens of a vocabulary, once for each tokenizer: of a large one that takes seconds.

    Raises:
        OptionError: there is no tokenizer, or none of its tokens has a part of the strings.
    """
    if not strings:
        return None
    if tokenizer is None:
        raise OptionError(f"expected a tokenizer to find the stop strings {strings} with, got none")
    key = len(tokenizer), strings
    with _changing:
        prepared = _criteria.setdefault(tokenizer, {})
        criteria = prepared.get(key)
    if criteria is None:
        try:
            criteria = StopStringCriteria(tokenizer, list(strings))
        except ValueError as error:
            raise OptionError(f"expected stop strings that the tokenizer's tokens can spell, got {strings}") from error
        with _changing:
            while len(prepared) >= PREPARED:
                del prepared[next(iter(prepared))]
            prepared[key] = criteria
    return criteria
