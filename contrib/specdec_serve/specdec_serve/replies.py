"""Response bodies of the OpenAI endpoints."""

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from attrs import define, field

from specdec_serve.generation import Piece


@define(eq=False)
class Reply:
    """The response to one request, of kind `text_completion` or `chat.completion`, with a choice for each answer."""

    kind: str
    model: str
    prompt_tokens: int
    choices: int
    tokens: int = 0
    head: dict[str, Any] = field(init=False)
    _texts: list[list[str]] = field(init=False)
    _finish: list[str | None] = field(init=False)

    def __attrs_post_init__(self) -> None:
        about = {"id": f"{'chatcmpl' if self.chat else 'cmpl'}-{uuid4().hex}", "created": int(time.time())}
        self.head = about | {"model": self.model}
        self._texts, self._finish = [[] for _ in range(self.choices)], [None] * self.choices

    @property
    def chat(self) -> bool:
        """Whether this is a chat completion."""
        return self.kind.startswith("chat")

    @property
    def usage(self) -> dict[str, int]:
        """OpenAI's token counts."""
        counts = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.tokens}
        return counts | {"total_tokens": sum(counts.values())}

    def add(self, piece: Piece) -> None:
        """Add what a step gave."""
        self.tokens += piece.tokens
        self._texts[piece.number].append(piece.text)
        self._finish[piece.number] = piece.finish

    def whole(self) -> dict[str, Any]:
        """The whole response."""
        answers = (("".join(texts), finish) for texts, finish in zip(self._texts, self._finish, strict=True))
        show: Callable[[str], dict[str, Any]] = _message if self.chat else _text
        choices = [{"index": i, **show(text), **_end(finish)} for i, (text, finish) in enumerate(answers)]
        return self.head | {"object": self.kind, "choices": choices, "usage": self.usage}

    def first(self) -> list[dict[str, Any]]:
        """The first chunks of a stream: the role of each message."""
        role = {"delta": {"role": "assistant", "content": ""}}
        return [self._chunk(i, role, None) for i in range(self.choices)] if self.chat else []

    def chunk(self, piece: Piece) -> dict[str, Any]:
        """A chunk of a stream."""
        return self._chunk(
            piece.number, {"delta": {"content": piece.text}} if self.chat else _text(piece.text), piece.finish
        )

    def last(self) -> dict[str, Any]:
        """The last chunk of a stream, with the token counts."""
        return self.head | {"object": self._piece, "choices": [], "usage": self.usage}

    @property
    def _piece(self) -> str:
        return f"{self.kind}.chunk" if self.chat else self.kind

    def _chunk(self, index: int, content: dict[str, Any], finish: str | None) -> dict[str, Any]:
        return self.head | {"object": self._piece, "choices": [{"index": index, **content, **_end(finish)}]}


def _message(text: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text, "refusal": None}}


def _text(text: str) -> dict[str, Any]:
    return {"text": text}


def _end(finish: str | None) -> dict[str, Any]:
    return {"logprobs": None, "finish_reason": finish}


def failure(message: str, kind: str, code: str | None = None) -> dict[str, Any]:
    """OpenAI's error body."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
