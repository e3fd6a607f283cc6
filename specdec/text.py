"""Text in and out: prompts to tokens, and tokens to text as it comes."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field
from transformers import PreTrainedTokenizerBase

from specdec.errors import PromptError

Prompt = str | Sequence[int] | Sequence[Mapping[str, str]]
"""Text, token ids, or the messages of a chat."""


def batch(prompts: Prompt | Sequence[Prompt]) -> list[Prompt]:
    """Make a list of prompts of one or several."""
    if isinstance(prompts, str) or (len(prompts) > 0 and isinstance(prompts[0], int | Mapping)):
        return [prompts]  # type: ignore[list-item]
    return list(prompts)  # type: ignore[arg-type]


def encode(prompt: Prompt, tokenizer: PreTrainedTokenizerBase | None) -> list[int]:
    """Turn a prompt into tokens; text becomes the user's message where the tokenizer has a chat template.

    Raises:
        PromptError: the prompt is empty, or text without a tokenizer.
    """
    tokens = _tokens(prompt, tokenizer)
    if not tokens:
        raise PromptError(f"expected a prompt of at least one token, got {prompt!r}")
    return tokens


def _tokens(prompt: Prompt, tokenizer: PreTrainedTokenizerBase | None) -> list[int]:
    if not isinstance(prompt, str) and all(isinstance(token, int) for token in prompt):
        return list(prompt)  # type: ignore[arg-type]
    if tokenizer is None:
        raise PromptError(f"expected token ids, for there is no tokenizer; got {prompt!r}")
    if isinstance(prompt, str) and not tokenizer.chat_template:
        return list(tokenizer(prompt)["input_ids"])
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    encoded: Any = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    return list(encoded["input_ids"])


@define
class TextStream:
    """Gives a row's text as its tokens come, never half a character."""

    tokenizer: PreTrainedTokenizerBase
    _tokens: list[int] = field(factory=list)
    _given: int = 0
    """Tokens whose text was given; those in the list before them are kept as the context of the next ones."""

    def add(self, tokens: Sequence[int], last: bool) -> str:
        """Take tokens, and give the text that they complete; all that is left with the last ones."""
        self._tokens += tokens
        before, after = self._decode(self._tokens[: self._given]), self._decode(self._tokens)
        if after.endswith("\N{REPLACEMENT CHARACTER}") and not last:
            return ""
        self._tokens, self._given = self._tokens[self._given :], len(self._tokens) - self._given
        return after[len(before) :]

    def _decode(self, tokens: list[int]) -> str:
        text: str = self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text
