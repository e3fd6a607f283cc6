"""Text as it comes: what each step adds to a sequence's text, however its tokens are cut into steps."""

import re
from collections.abc import Sequence
from copy import copy

from transformers import PreTrainedTokenizerBase

from specdec.prompts import Prompt, batch, encode

__all__ = ["Prompt", "TextStream", "batch", "encode"]

CONTEXT = 8
"""Tokens before the new ones that are decoded with them, at least."""
UNFINISHED = 3
"""Most bytes of a character that is not whole yet; each may be decoded to a character of its own."""
BAD = "\N{REPLACEMENT CHARACTER}"
_BYTE = re.compile("<0x[0-9A-Fa-f]{2}>")
_UNCHANGED = re.compile(r".*[^ '](?= )", re.DOTALL)
"""Text up to a blank across which `clean_up_tokenization` changes nothing."""


class TextStream:
    """Gives a sequence's text as its tokens come.

    The pieces join to what the tokenizer decodes prompt and tokens to, without special tokens, less what it decodes
    the prompt to. So the blank before the first word belongs to the text, if the tokenizer says that there is one,
    and a character that the prompt began is given whole. What later tokens may still change waits for them:
    the bytes of an unfinished character, bytes that are tokens until another token follows them, and, where the
    tokenizer cleans up, the last word.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._tokens, self._limit = list(prompt), 4 * CONTEXT
        """The last tokens, and how many there may be before the first of them are forgotten."""
        self._text = self._decode(self._tokens)
        """Their text, as far as it was given; the prompt's counts as given."""
        self._cleaner = _Cleaner(tokenizer, self._text) if _cleans_up(tokenizer) else None
        self._forget()

    def add(self, tokens: Sequence[int], last: bool) -> str:
        """Take tokens, and give the text that they settle; all that is left with the last ones."""
        self._tokens += tokens
        text = self._decode(self._tokens if last else self._tokens[: self._settled()])
        if text.endswith(BAD) and not last:
            text = text[:-1]
        piece = _after(self._text, text)
        if piece:
            self._text = text
        self._forget()
        return piece if self._cleaner is None else self._cleaner.add(piece, last)

    def copy(self) -> "TextStream":
        """Give a stream that continues from here by itself."""
        other = copy(self)
        other._tokens, other._cleaner = list(self._tokens), copy(self._cleaner)
        return other

    def _settled(self) -> int:
        """Count the tokens before the bytes at the end, which are decoded together: a wrong one spoils all."""
        end = len(self._tokens)
        for place in range(end - 1, -1, -1):
            token = self._tokens[place]
            name = self._tokenizer.convert_ids_to_tokens(token)
            if name is not None and _BYTE.fullmatch(name):
                end = place
            elif self._decode([token]):
                break
        return end

    def _forget(self) -> None:
        """Keep the fewest last tokens whose text, decoded alone, is the end of what it is after the others.

        Some of it must have been given, and be more than blanks, which may be stripped, and than unfinished bytes.
        """
        if len(self._tokens) <= self._limit:
            return
        whole, size = self._decode(self._tokens), CONTEXT
        while whole.startswith(self._text) and size <= len(self._tokens) // 2:
            alone = self._decode(self._tokens[-size:])
            text = alone[: max(0, len(alone) - len(whole) + len(self._text))]
            if whole.endswith(alone.lstrip()) and len(text.strip()) > UNFINISHED:
                self._tokens, self._text = self._tokens[-size:], text
                break
            size *= 2
        self._limit = max(4 * CONTEXT, 2 * len(self._tokens))

    def _decode(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


class _Cleaner:
    """Cleans text up as the tokenizer does, one part at a time."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, before: str) -> None:
        self._clean = tokenizer.clean_up_tokenization
        self._raw = before[_unchanged(before) :]
        self._text: str = self._clean(self._raw)

    def add(self, piece: str, last: bool) -> str:
        """Take a piece, and give what of the text so far is certain."""
        self._raw += piece
        end = len(self._raw) if last else _unchanged(self._raw)
        if end == 0:
            return ""
        text: str = self._clean(self._raw[:end])
        new = _after(self._text, text)
        self._raw, self._text = self._raw[end:], ""
        return new


def _after(before: str, text: str) -> str:
    """Leave out what a text has in common with what was before."""
    return text[len(before) :] if text.startswith(before) else text[in_common(before, text) :]


def in_common(before: Sequence[object], after: Sequence[object]) -> int:
    """Count how many characters, or tokens, two sequences have in common at their beginning."""
    pairs = enumerate(zip(before, after, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(before), len(after)))


def _unchanged(text: str) -> int:
    match = _UNCHANGED.match(text)
    return match.end() if match else 0


def _cleans_up(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether `decode` cleans up, by transformers' own condition."""
    model = getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)
    forced = getattr(tokenizer, "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", False)
    return bool(tokenizer.clean_up_tokenization_spaces) and (type(model).__name__ != "BPE" or bool(forced))
