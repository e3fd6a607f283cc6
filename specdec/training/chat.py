"""Conversations as text and tokens, by the chat template of the target's tokenizer."""

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from specdec.errors import DataError

ANSWERS = "assistant"
"""Whose turns are learnt from."""


def laid_out(
    messages: Sequence[Mapping[str, str]], tokenizer: PreTrainedTokenizerBase, *, asking: bool = False
) -> list[int]:
    """Lay messages out as tokens; `asking` ends with what an answer follows. No messages are no tokens.

    Raises:
        DataError: the tokenizer has no template, or this does not take the roles in their order.
    """
    if not messages and tokenizer.chat_template:
        return []
    encoded = apply(messages, tokenizer, add_generation_prompt=asking, return_dict=True)
    return list(encoded["input_ids"])


def rendered(messages: Sequence[Mapping[str, str]], tokenizer: PreTrainedTokenizerBase, *, asking: bool = False) -> str:
    """Lay messages out as text.

    Raises:
        DataError: as `laid_out` does.
    """
    return str(apply(messages, tokenizer, add_generation_prompt=asking, tokenize=False))


def apply(messages: Sequence[Mapping[str, str]], tokenizer: PreTrainedTokenizerBase, **options: Any) -> Any:
    """Call the chat template.

    Raises:
        DataError: there is none, or it does not take the messages.
    """
    if not tokenizer.chat_template:
        raise DataError("expected a text, because the target's tokenizer has no chat template; got a conversation")
    try:
        return tokenizer.apply_chat_template([dict(message) for message in messages], **options)
    except Exception as error:  # templates raise what they like
        raise DataError(f"expected turns that the chat template takes, got: {error}") from error
