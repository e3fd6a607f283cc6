"""Where each sequence ends: end tokens, stop strings, and its limit."""

from collections.abc import Sequence

import torch
from attrs import evolve
from transformers import PreTrainedTokenizerBase, StopStringCriteria

from specdec.context import Context, Step
from specdec.errors import OptionError, PromptError
from specdec.options import Stop


def limits_of(
    prompts: Sequence[Sequence[int]], stop: Stop, max_length: int | None, length_advice: str = ""
) -> list[int]:
    """Work out the lengths that sequences may reach; the advice is for those that cannot.

    Raises:
        PromptError: there is no prompt, or one that leaves no room for what is to be generated.
        OptionError: neither the stop nor the target knows a limit.
    """
    if not prompts:
        raise PromptError("expected at least one prompt, got none")
    if stop.max_tokens is None and max_length is None:
        raise OptionError("expected max_tokens, for the target knows no longest sequence; got None")
    for number, prompt in enumerate(prompts):
        if max_length is not None and len(prompt) + (stop.max_tokens or 1) > max_length:
            raise PromptError(
                f"expected prompt {number} and what follows it to fit the target's {max_length} positions, "
                f"got {len(prompt)} tokens and {stop.max_tokens or 1} to generate"
                + (f"; {length_advice}" if length_advice else "")
            )
    return [len(prompt) + stop.max_tokens if stop.max_tokens else max_length or 0 for prompt in prompts]


class Ends:
    """Finds where each sequence ends inside a step."""

    def __init__(self, stop: Stop, end_tokens: Sequence[int], tokenizer: PreTrainedTokenizerBase | None) -> None:
        """Take the end tokens of the stop, or else those that are given.

        Raises:
            OptionError: stop strings, and no tokenizer to find them with.
        """
        self._tokens = set(end_tokens if stop.tokens is None else stop.tokens)
        if stop.strings and tokenizer is None:
            raise OptionError(f"expected a tokenizer to find the stop strings {stop.strings} with, got none")
        self._strings = StopStringCriteria(tokenizer, list(stop.strings)) if stop.strings else None

    def cut(self, context: Context, step: Step) -> tuple[Step, list[bool]]:
        """Cut a step after each sequence's end; say which sequences are done."""
        tokens, done = list[list[int]](), list[bool]()
        for number, new in enumerate(step.tokens):
            room = context.limits[number] - len(context.tokens[number])
            end = self._end(context.tokens[number], new[:room])
            tokens.append(new[: room if end is None else end])
            done.append(context.done[number] or end is not None or len(new) >= room)
        accepted = [min(pair) for pair in zip(step.accepted, map(len, tokens), strict=True)]
        features = None if step.features is None else step.features.first(max(map(len, tokens)))
        return evolve(step, tokens=tokens, accepted=accepted, features=features), done

    def _end(self, before: list[int], tokens: list[int]) -> int | None:
        """How many tokens there are up to the first that ends the sequence."""
        for count, token in enumerate(tokens, 1):
            if token in self._tokens or self._completes_string(before, tokens[:count]):
                return count
        return None

    def _completes_string(self, before: list[int], tokens: list[int]) -> bool:
        if self._strings is None:
            return False
        return bool(self._strings(torch.tensor([before + tokens]), torch.empty(0))[0])
