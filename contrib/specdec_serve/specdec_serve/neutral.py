"""What a request says that asks for nothing: clients send options with their defaults."""

from typing import Any

OPTIONS: dict[str, tuple[Any, ...]] = {
    "best_of": (1,),
    "echo": (False,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logprobs": (False,),
    "modalities": (["text"],),
    "parallel_tool_calls": (True, False),
    "reasoning_effort": ("none",),
    "response_format": ({"type": "text"},),
    "suffix": ("",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
}
"""Options that are not supported, each with the values under which it changes nothing."""
IN_MESSAGES: dict[str, tuple[Any, ...]] = {"annotations": ([],), "tool_calls": ([],)}
"""The same for the fields of a chat's messages; a server's own answer has them when it is sent back."""


def without_neutral(body: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is null or changes nothing, in the body and in a chat's messages."""
    kept = _without(body, OPTIONS)
    if isinstance(messages := kept.get("messages"), list):
        kept["messages"] = [_without(one, IN_MESSAGES) if isinstance(one, dict) else one for one in messages]
    return kept


def _without(fields: dict[str, Any], neutral: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    return {
        name: value
        for name, value in fields.items()
        if value is not None and not any(_same(value, one) for one in neutral.get(name, ()))
    }


def _same(value: Any, other: Any) -> bool:
    """Say whether they are equal and of one type: 0 is not False, and `logprobs=0` asks for something."""
    return type(value) is type(other) and bool(value == other)
