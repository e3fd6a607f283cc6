"""Records of training data: plain text, prompts with responses, or conversations, in the forms that people have."""

import json
from typing import Any

from attrs import frozen

from specdec.errors import DataError

ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "bot", "model", "function_call"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation"), "tool"),
}
"""Who speaks, by the names of OpenAI, ShareGPT and others, as chat templates call them."""
UNLEARNT = ("tool_calls", "function_call", "reasoning_content", "reasoning", "thinking")
"""Parts of an assistant's turn besides its content, without which it would be learnt to say less than it did."""
FORMS = "'messages', 'conversations', a 'prompt' with a 'response' or 'completion', or a 'text'"


@frozen
class Conversation:
    """Messages with `role` and `content`; the assistant's are learnt from."""

    messages: tuple[dict[str, str], ...]


@frozen
class Text:
    """Text without roles; every token is learnt from but those of the prompt that it continues."""

    text: str
    prompt: str = ""


@frozen
class Document:
    """All of a plain file, to be cut into pieces."""

    text: str


Record = Conversation | Text | Document


def parse(line: str) -> Record:
    """Read a line of JSONL.

    Raises:
        DataError: as `record` does, or it is no JSON.
    """
    try:
        value = json.loads(line.strip())
    except (ValueError, RecursionError) as error:
        raise DataError(f"expected JSON, got {short(line.strip())}: {error}") from error
    return record(value)


def record(value: Any) -> Record:
    """Read an object with `messages` or `conversations`, `prompt` and `response` or `completion`, or `text`.

    Raises:
        DataError: the message says what was expected and what was found.
    """
    if not isinstance(value, dict):
        raise DataError(f"expected an object, got {short(value)}")
    value = {key: part for key, part in value.items() if part is not None}
    for key in ("messages", "conversations"):
        if key in value:
            return _conversation(_with_system(value, value[key]))
    if "prompt" not in value:
        return Text(_text(value, "text"))
    answer = "completion" if "completion" in value else "response"
    if isinstance(value["prompt"], list) and isinstance(value.get(answer), list):
        return _conversation(value["prompt"] + value[answer])
    return Text(_text(value, answer), _text(value, "prompt", empty=True))


def short(value: Any) -> str:
    """Write a value for a message."""
    text = value if isinstance(value, str) else json.dumps(value)
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _text(value: dict[str, Any], key: str, *, empty: bool = False) -> str:
    if key not in value:
        raise DataError(f"expected {FORMS}, got the keys {sorted(value)}")
    text = value[key]
    if not isinstance(text, str) or not (text or empty):
        raise DataError(f"expected a {key!r} of at least one character, got {short(text)}")
    return _whole(text)


def _whole(text: str) -> str:
    """Refuse half of a surrogate pair, which JSON can write and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"expected text, got half a character at {error.start} of {short(text)}") from error
    return text


def _conversation(turns: Any) -> Conversation:
    if not isinstance(turns, list) or not turns:
        raise DataError(f"expected a list of turns, got {short(turns)}")
    messages = tuple(_message(turn, place) for place, turn in enumerate(turns))
    if not any(message["role"] == "assistant" for message in messages):
        raise DataError("expected an answer by the assistant, got none")
    return Conversation(messages)


def _with_system(value: dict[str, Any], turns: Any) -> Any:
    """Put a system prompt that stands beside the turns, as some of ShareGPT's do, before them."""
    system = value.get("system")
    return [{"role": "system", "content": system}, *turns] if system and isinstance(turns, list) else turns


def _message(turn: Any, place: int) -> dict[str, str]:
    known = isinstance(turn, dict)
    role, content = ("from", "value") if known and "role" not in turn and "from" in turn else ("role", "content")
    text = _parts(turn.get(content)) if known else None
    if text is None:
        raise DataError(f"expected turn {place} to have {role!r} and a text {content!r}, got {short(turn)}")
    if beside := [part for part in UNLEARNT if turn.get(part)]:
        raise DataError(f"expected all that turn {place} says in its {content!r}, got {beside[0]!r} beside it")
    speaker = turn.get(role)
    if not isinstance(speaker, str) or speaker.lower() not in ROLES:
        raise DataError(f"expected the {role!r} of turn {place} to be of {', '.join(ROLES)}, got {speaker!r}")
    return {"role": ROLES[speaker.lower()], "content": _whole(text)}


def _parts(content: Any) -> str | None:
    """Give a text, also where it is written as a list of its parts; None for pictures and all else."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else None
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in content]
    return "".join(map(str, texts)) if texts and all(isinstance(text, str) for text in texts) else None
