"""Whether two decodings said the same, and if not, where they part."""

from collections.abc import Sequence

from attrs import frozen
from transformers import PreTrainedTokenizerBase

AROUND = 8
"""Tokens shown on each side of a difference."""


@frozen
class Difference:
    """The first token in which a text is not that of plain decoding, counted from 0 behind the prompt."""

    prompt_set: str
    question_id: int | str
    temperature: float
    seed: int
    position: int
    plain: str
    said: str

    def __str__(self) -> str:
        return (
            f"question {self.question_id} of {self.prompt_set}, temperature {self.temperature:g}, seed {self.seed}: "
            f"from new token {self.position + 1} on, plain decoding says {self.plain!r}, this drafter {self.said!r}"
        )


def first_difference(plain: Sequence[int], said: Sequence[int]) -> int | None:
    """Find the first place where token lists differ; the shorter one's end, if it begins the longer; None if equal."""
    for place, (one, other) in enumerate(zip(plain, said, strict=False)):
        if one != other:
            return place
    return None if len(plain) == len(said) else min(len(plain), len(said))


def around(tokens: Sequence[int], place: int, tokenizer: PreTrainedTokenizerBase | None) -> str:
    """Show the tokens around a place, as text if that can be had."""
    return as_text(tokens[max(0, place - AROUND) : place + AROUND], tokenizer)


def as_text(tokens: Sequence[int], tokenizer: PreTrainedTokenizerBase | None) -> str:
    """Turn tokens into text, or without a tokenizer write their numbers."""
    if tokenizer is None:
        return " ".join(map(str, tokens))
    text: str = tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False)
    return text
