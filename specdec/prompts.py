"""Prompts of all kinds, made into tokens."""

import operator
from collections.abc import Mapping, Sequence, Sized
from reprlib import repr as brief
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from transformers import BatchEncoding, PreTrainedTokenizerBase

from specdec.errors import PromptError

Messages: TypeAlias = Sequence[Mapping[str, Any]]
Prompt: TypeAlias = str | Sequence[int] | Messages | np.ndarray | Tensor | BatchEncoding
"""Text, token ids (a list, a tuple, an array or a tensor), the messages of a chat, or what a tokenizer gave."""

EXPECTED = "expected text, token ids, messages with a role, what a tokenizer gives, or a list of such prompts"


def batch(prompts: Prompt | Sequence[Prompt]) -> list[str | list[int] | Messages]:
    """Make a list of prompts of one or several.

    An array or tensor of ids is one prompt if it has one dimension, or else one for each row. Of a `BatchEncoding`
    those tokens count to which the attention mask attends.

    Raises:
        PromptError: it is something else.
    """
    several = _several(prompts)
    if several is not None:
        return several
    if not isinstance(prompts, list | tuple) or any(_token(part) is not None for part in prompts):
        raise PromptError(f"{EXPECTED}; got {_named(prompts)}")
    return [_only(prompt, number) for number, prompt in enumerate(prompts)]


def encode(prompt: Prompt, tokenizer: PreTrainedTokenizerBase | None) -> list[int]:
    """Turn a prompt into tokens; text becomes the user's message where the tokenizer has a chat template.

    Raises:
        PromptError: the prompt is empty, no prompt, or text that the tokenizer cannot read, or there is none.
    """
    tokens = _tokens(_only(prompt), tokenizer)
    if not tokens:
        raise PromptError(f"expected a prompt of at least one token, got {brief(prompt)}")
    return tokens


def _several(prompts: Any) -> list[Any] | None:
    """List the prompts that something is by its own type; None for a list of prompts, or what is none."""
    if isinstance(prompts, str):
        return [str(prompts)]
    if isinstance(prompts, np.ndarray | Tensor):
        return _rows(prompts)
    if isinstance(prompts, BatchEncoding):
        return _attended(prompts)
    if isinstance(prompts, list | tuple) and prompts:
        if all(isinstance(part, Mapping) and "role" in part for part in prompts):
            return [list(prompts)]
        tokens = list(prompts) if set(map(type, prompts)) == {int} else [_token(part) for part in prompts]
        if None not in tokens:
            return [tokens]
    return None


def _only(prompt: Any, number: int | None = None) -> Any:
    """Read something as one prompt."""
    some = [[]] if isinstance(prompt, list | tuple) and not prompt else _several(prompt)
    if some is None or len(some) != 1:
        place = "" if number is None else f" as prompt {number}"
        raise PromptError(f"{EXPECTED}; got {_named(prompt)}{place}")
    return some[0]


def _token(value: Any) -> int | None:
    """Read a whole number of any library."""
    if isinstance(value, bool | np.bool_) or (isinstance(value, Tensor) and not _is_whole(value)):
        return None
    try:
        return operator.index(value) if getattr(value, "ndim", 0) == 0 else None
    except TypeError:
        return None


def _rows(ids: np.ndarray | Tensor) -> list[list[int]]:
    if ids.ndim not in (1, 2) or not _is_whole(ids):
        shape = f"{list(ids.shape)} of {ids.dtype}"
        raise PromptError(f"expected token ids as whole numbers of shape [T] or [B, T], got {shape}")
    try:
        rows: list[Any] = ids.tolist()
    except RuntimeError as error:  # of a sparse tensor, or one on the meta device
        raise PromptError(f"expected token ids that can be read, got {_named(ids)}: {error}") from error
    return [rows] if ids.ndim == 1 else rows


def _is_whole(ids: np.ndarray | Tensor) -> bool:
    if isinstance(ids, Tensor):
        return not (ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool)
    return ids.dtype.kind in "iu"


def _attended(encoding: BatchEncoding) -> list[list[int]]:
    """List the ids that the attention mask does not hide."""
    ids: list[Any] = batch(encoding["input_ids"]) if "input_ids" in encoding else []
    mask = ids if encoding.get("attention_mask") is None else _nested(encoding["attention_mask"])
    if not ids or not isinstance(ids[0], list) or list(map(len, ids)) != list(map(len, mask)):
        raise PromptError(f"expected input_ids, and an attention_mask of the same shape; got {_named(encoding)}")
    if mask is ids:
        return ids
    return [[token for token, seen in zip(*row, strict=True) if seen] for row in zip(ids, mask, strict=True)]


def _nested(mask: Any) -> list[Any]:
    rows = mask.tolist() if isinstance(mask, np.ndarray | Tensor) else mask
    several = isinstance(rows, list | tuple) and rows and isinstance(rows[0], Sized)
    return list(rows) if several else [rows if isinstance(rows, Sized) else []]


def _tokens(prompt: str | list[int] | Messages, tokenizer: PreTrainedTokenizerBase | None) -> list[int]:
    if not isinstance(prompt, str) and not (prompt and isinstance(prompt[0], Mapping)):
        return list(prompt)  # type: ignore[arg-type]
    if isinstance(prompt, str):
        _check_whole(prompt)
    if tokenizer is None:
        raise PromptError(f"expected token ids, for there is no tokenizer; got {brief(prompt)}")
    if not isinstance(prompt, str) and not tokenizer.chat_template:
        raise PromptError(f"expected text or token ids, for the tokenizer has no chat template; got {brief(prompt)}")
    try:
        return _encoded(prompt, tokenizer)  # type: ignore[arg-type]
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise PromptError(f"expected a prompt that the tokenizer can read, got {brief(prompt)}: {reason}") from error


def _check_whole(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PromptError(f"expected text, got half a character at {error.start} of {brief(text)}") from None


def _encoded(prompt: str | Messages, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    if isinstance(prompt, str) and not tokenizer.chat_template:
        return list(tokenizer(prompt)["input_ids"])
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    encoded: Any = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    return list(encoded["input_ids"])


def _named(value: Any) -> str:
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    return f"{name}: {brief(value)}"
