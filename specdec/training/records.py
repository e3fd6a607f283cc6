"""Data files: JSONL of plain text, prompts with responses, or conversations in one of two forms; or one plain text."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from attrs import frozen

from specdec.errors import DataError

_SHAREGPT = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
_ROLES = ("system", "user", "assistant", "tool")
Used = TypeVar("Used")


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


def read(
    paths: Sequence[str | Path], use: Callable[[Record], Sequence[Used]], *, skip_malformed: bool = False
) -> tuple[list[Used], int]:
    """Read files, `.jsonl` line by line and any other as one text, and `use` each record; count what was skipped.

    Raises:
        DataError: a line cannot be used; the message names file and line. Or it is skipped and counted.
    """
    used, skipped = list[Used](), 0
    for path in map(Path, paths):
        for place, data in _parts(path):
            try:
                text = _decoded(data)
                used += use(parse(text) if path.suffix == ".jsonl" else Document(text))
            except DataError as error:
                if not skip_malformed or path.suffix != ".jsonl":
                    raise DataError(f"{place}: {error}") from error
                skipped += 1
    if not used:
        raise DataError(f"expected at least one text in {', '.join(map(str, paths)) or 'no file'}, got none")
    return used, skipped


def parse(line: str) -> Record:
    """Read a line of JSONL: `messages`, `conversations` (ShareGPT), `prompt` with `response`, or `text`.

    Raises:
        DataError: the message says what was expected and what was found.
    """
    try:
        value = json.loads(line.strip())
    except (ValueError, RecursionError) as error:
        raise DataError(f"expected JSON, got {_short(line.strip())}: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"expected an object, got {_short(line.strip())}")
    if "messages" in value:
        return _conversation(value["messages"], "role", "content", {role: role for role in _ROLES})
    if "conversations" in value:
        return _conversation(value["conversations"], "from", "value", _SHAREGPT)
    if "prompt" in value:
        return Text(_text(value, "response"), _text(value, "prompt"))
    return Text(_text(value, "text"))


def _text(value: dict[str, Any], key: str) -> str:
    if key not in value:
        raise DataError(
            "expected 'messages', 'conversations', a 'prompt' with a 'response', or a 'text', "
            f"got the keys {sorted(value)}"
        )
    text = value[key]
    if not isinstance(text, str) or not text:
        raise DataError(f"expected a {key!r} of at least one character, got {_short(text)}")
    return _whole(text)


def _whole(text: str) -> str:
    """Refuse half of a surrogate pair, which JSON can write and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"expected text, got half a character at {error.start} of {_short(text)}") from error
    return text


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
        messages.append({"role": roles[turn[role]], "content": _whole(turn[content])})
    if not any(message["role"] == "assistant" for message in messages):
        raise DataError("expected an answer by the assistant, got none")
    return Conversation(tuple(messages))


def _parts(path: Path) -> Iterator[tuple[str, bytes]]:
    """Give the lines that are not blank, or the whole of a plain file, each with its place."""
    if path.suffix == ".json":
        raise DataError(f"expected JSON lines, in a file that ends in .jsonl, or plain text; got {path}")
    try:
        if path.suffix != ".jsonl":
            yield str(path), path.read_bytes()
            return
        with path.open("rb") as file:
            yield from ((f"{path}:{number}", line) for number, line in enumerate(file, 1) if line.strip())
    except OSError as error:
        raise DataError(f"expected a file to read at {path}, got: {error}") from error


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"expected UTF-8, got {error.reason} at byte {error.start}") from error


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return repr(text if len(text) <= 60 else text[:57] + "...")
