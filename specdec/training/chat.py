"""Conversations as tokens, by the chat template of the target's tokenizer."""

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from specdec.errors import DataError

ANSWERS = "assistant"
"""Whose turns are learnt from."""


def laid_out(
    messages: Sequence[Mapping[str, str]], tokenizer: PreTrainedTokenizerBase, *, asking: bool = False
) -> list[int]:
    """Lay messages out; `asking` ends with what an answer follows. No messages are no tokens.

    Raises:
        DataError: the tokenizer has no template, or this does not take the roles in their order.
    """
    if not tokenizer.chat_template:
        raise DataError("expected a text, for the target's tokenizer has no chat template; got a conversation")
    if not messages:
        return []
    try:
        encoded: Any = tokenizer.apply_chat_template(list(messages), add_generation_prompt=asking, return_dict=True)
    except Exception as error:  # templates raise what they like
        raise DataError(f"expected turns that the chat template takes, got: {error}") from error
    return list(encoded["input_ids"])
