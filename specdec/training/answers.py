"""Where the answers of a conversation are in its layout, whatever the chat template does to them.

A template is a program: it may trim contents, leave reasoning out of all answers but the last, or put a heading before
them. What it made of a message is therefore found by experiment: with another content in its place, the layout changes
from the content's first character to its last.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from attrs import frozen
from transformers import PreTrainedTokenizerBase

from specdec.errors import DataError
from specdec.training.chat import ANSWERS, rendered

CONTENTS = ("Qz7Jq", "9wX3w")
"""Stand in for a message; they begin and end differently, so that one of them differs from whatever was there."""
OWN, OTHERS = 1, 2
"""Marks of characters that the target would have written, and of those of other messages."""


@frozen
class Span:
    """Characters from `start` to before `end`."""

    start: int
    end: int


class Layout:
    """A conversation as its chat template lays it out."""

    def __init__(self, messages: Sequence[Mapping[str, str]], tokenizer: PreTrainedTokenizerBase) -> None:
        """Lay messages out, and find what became of each.

        Raises:
            DataError: the template does not take them, or mixes them so that they cannot be told apart.
        """
        self._messages, self._tokenizer = list(messages), tokenizer
        self.text = rendered(messages, tokenizer)
        found = [self._find(place) for place in range(len(messages))]
        self.contents, self._plain = [span for span, _ in found], [plain for _, plain in found]
        for place, one in enumerate(self.contents):
            if any(one.start < other.end and other.start < one.end for other in self.contents[:place]):
                raise DataError(f"expected the chat template to keep turns apart, turn {place} changes others")

    def marks(self) -> bytes:
        """Mark each character that belongs to an answer or ends it with `OWN`, and others' words with `OTHERS`.

        Raises:
            DataError: where an answer begins or ends cannot be told.
        """
        marks = bytearray(len(self.text))
        for place, (message, content) in enumerate(zip(self._messages, self.contents, strict=True)):
            span, mark = content, OTHERS
            if message["role"] == ANSWERS:
                apart = self.contents[:place] + self.contents[place + 1 :]
                before = max((other.end for other in apart if other.end <= content.start), default=0)
                after = min((other.start for other in apart if other.start >= content.end), default=len(self.text))
                span, mark = Span(self._start(place, before), self._end(place, after)), OWN
            marks[span.start : span.end] = bytes([mark]) * (span.end - span.start)
        return bytes(marks)

    def _find(self, place: int) -> tuple[Span, bool]:
        """Find what became of a message's content, and whether any other would stand in its place as it is."""
        texts = [self._with(place, content) for content in CONTENTS]
        start = min(_shared(self.text, text) for text in texts)
        end = len(self.text) - min(_shared(self.text[::-1], text[::-1]) for text in texts)
        around = self.text[:start], self.text[end:]
        plain = all(text == content.join(around) for content, text in zip(CONTENTS, texts, strict=True))
        return Span(start, max(start, end)), plain

    def _start(self, place: int, before: int) -> int:
        """Find where the target would have begun: after that with which the template asks for an answer."""
        asking, start = self._asking(place), self.contents[place].start
        found = self.text.rfind(asking, before, start) if asking else -1
        if found >= 0:
            return found + len(asking)
        if not self._plain[place]:
            raise DataError(f"expected the chat template to lay out turn {place} after {asking!r}, it does not")
        return start

    def _asking(self, place: int) -> str:
        if place == 0:
            return ""
        told, asked = (rendered(self._messages[:place], self._tokenizer, asking=asking) for asking in (False, True))
        return asked[len(told) :] if asked.startswith(told) else ""

    def _end(self, place: int, after: int) -> int:
        """Find where the turn ends: what would follow it at the end of a conversation follows it anywhere."""
        end, content = self.contents[place].end, CONTENTS[0]
        last = rendered([*self._messages[:place], {"role": ANSWERS, "content": content}], self._tokenizer)
        _, found, closing = last.rpartition(content)
        if not found:
            raise DataError(f"expected the chat template to lay out turn {place} as it is, it does not")
        return end + _shared(closing, self.text[end:after])

    def _with(self, place: int, content: str) -> str:
        turn = {**self._messages[place], "content": content}
        return rendered([*self._messages[:place], turn, *self._messages[place + 1 :]], self._tokenizer)


def _shared(one: str, other: str) -> int:
    """Count the characters with which both begin."""
    sizes = range(1, min(len(one), len(other)) + 1)
    return bisect_left(sizes, True, key=lambda size: one[:size] != other[:size])
