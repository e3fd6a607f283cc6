"""Conversations as tokens, and which of them are learnt from."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property

from tokenizers import Tokenizer, processors
from transformers import PreTrainedTokenizerBase

from specdec.errors import DataError
from specdec.training.answers import OTHERS, OWN, Layout
from specdec.training.chat import apply

_MARKS = re.compile(r"{%[-+]?\s*generation\s*[-+]?%}")


class Conversations:
    """Lays conversations out as tokens, and marks those of the answers and of what ends them.

    Where a chat template marks answers itself, by `generation` blocks, these are taken. A token across the border of
    an answer belongs to it, unless it has characters of another message.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer

    def __call__(self, messages: Sequence[Mapping[str, str]]) -> tuple[list[int], list[bool]]:
        """Give the tokens of a conversation, and of each whether it is learnt from.

        Raises:
            DataError: there is no template, it does not take the messages, or where an answer is cannot be told.
        """
        if self._marked:
            encoded = apply(messages, self._tokenizer, return_dict=True, return_assistant_tokens_mask=True)
            return list(encoded["input_ids"]), [bool(mark) for mark in encoded["assistant_masks"]]
        layout = Layout(messages, self._tokenizer)
        encoding = self._with_offsets.encode(layout.text, add_special_tokens=False)
        marks = layout.marks()
        return encoding.ids, [OWN in marks[a:b] and OTHERS not in marks[a:b] for a, b in encoding.offsets]

    @property
    def _marked(self) -> bool:
        template = self._tokenizer.get_chat_template() if self._tokenizer.chat_template else ""
        return _MARKS.search(template) is not None

    @cached_property
    def _with_offsets(self) -> Tokenizer:
        """A copy whose offsets count all characters, blanks at the ends of tokens too."""
        tokenizer = self._tokenizer
        if not tokenizer.is_fast:
            raise DataError(f"expected a tokenizer that knows where its tokens are, got {type(tokenizer).__name__}")
        copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        copy.no_truncation()
        copy.no_padding()
        copy.post_processor = processors.ByteLevel(trim_offsets=False)
        return copy
