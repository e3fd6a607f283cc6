"""Lines of a data file: plain text, or a conversation in one of two forms."""

import json
from typing import Any

from attrs import frozen

from specdec.errors import DataError

_SHAREGPT = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
_ROLES = ("system", "user", "assistant", "tool")


@frozen
class Conversation:
    """Messages with `role` and `content`."""

    messages: tuple[dict[str, str], ...]


@frozen
class Text:
    """Text without roles: every token is learnt from."""

    text: str


Record = Conversation | Text


def parse(line: str) -> Record:
    """Read a line of JSONL: `messages`, `conversations` (ShareGPT) or `text`.

    Raises:
        DataError: the message says what was expected and what was found.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"expected JSON, got {_short(line)}: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"expected an object, got {_short(line)}")
    if "messages" in value:
        return _conversation(value["messages"], "role", "content", {role: role for role in _ROLES})
    if "conversations" in value:
        return _conversation(value["conversations"], "from", "value", _SHAREGPT)
    if not isinstance(value.get("text"), str) or not value["text"]:
        raise DataError(f"expected 'messages', 'conversations' or a 'text', got the keys {sorted(value)}")
    return Text(value["text"])


def _conversation(turns: Any, role: str, content: str, roles: dict[str, str]) -> Conversation:
    if not isinstance(turns, list) or not turns:
        raise DataError(f"expected a list of turns, got {_short(turns)}")
    messages = []
    for place, turn in enumerate(turns):
        if not isinstance(turn, dict) or not isinstance(turn.get(content), str):
            raise DataError(f"expected turn {place} to have {role!r} and a text {content!r}, got {_short(turn)}")
        if not isinstance(turn.get(role), str) or turn[role] not in roles:
            raise DataError(
                f"expected the {role!r} of turn {place} to be of {', '.join(roles)}, got {turn.get(role)!r}"
            )
        messages.append({"role": roles[turn[role]], "content": turn[content]})
    if not any(message["role"] == "assistant" for message in messages):
        raise DataError("expected an answer by the assistant, got none")
    return Conversation(tuple(messages))


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return repr(text if len(text) <= 60 else text[:57] + "...")
