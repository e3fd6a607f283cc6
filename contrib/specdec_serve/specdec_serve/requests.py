"""Request bodies of `/v1/completions` and `/v1/chat/completions`.

Options that are not supported, such as tools or log probabilities, are refused rather than ignored, unless their
values change nothing.
"""

import secrets
from reprlib import repr as brief
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from attrs import frozen
from transformers import GenerationConfig, PreTrainedTokenizerBase

from specdec import Sampling, Stop
from specdec.errors import OptionError, PromptError
from specdec.text import encode
from specdec_serve.neutral import without_neutral

SHORT = 16
"""Tokens of a completion by default."""
Ending = Annotated[str, msgspec.Meta(max_length=128)]
"""A stop string; a longer one would take long to compare with all tokens of the vocabulary."""
Bias = Annotated[float, msgspec.Meta(ge=-100, le=100)]
"""What is added to a logit, within OpenAI's bounds."""
Zero = Annotated[float, msgspec.Meta(ge=0, le=0)] | None
"""An option that must be absent or 0, its default."""


class StreamOptions(msgspec.Struct, frozen=True):
    """Options of a stream."""

    include_usage: bool = False


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text part of a message."""

    type: Literal["text"]
    text: str


class ChatMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message of a chat, in text or in parts; an assistant's may be without any."""

    role: str
    content: str | list[Part] | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.content is None and self.role != "assistant":
            raise ValueError(f"expected content in a message of the role {brief(self.role)}, got none")

    @property
    def template(self) -> dict[str, str]:
        """The message as chat templates take it."""
        parts = self.content or ""
        whole = parts if isinstance(parts, str) else "".join(part.text for part in parts)
        return {"role": self.role, "content": whole} | ({} if self.name is None else {"name": self.name})


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The fields of both bodies; `top_k`, `min_p` and `repetition_penalty` are extensions, as in vLLM."""

    model: str
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    logit_bias: dict[int, Bias] | None = None
    seed: int | None = None
    stop: Ending | Annotated[list[Ending], msgspec.Meta(max_length=4)] | None = None
    n: int = 1
    stream: bool = False
    stream_options: StreamOptions | None = None
    frequency_penalty: Zero = None
    presence_penalty: Zero = None
    user: str | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None

    def sampling(self, config: GenerationConfig | None) -> Sampling:
        """The model's default sampling, changed as the request says; without a `seed` a random one is drawn."""
        names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
        changes: dict[str, Any] = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.logit_bias:
            changes["sequence_bias"] = [((token,), bias) for token, bias in self.logit_bias.items()]
        if self.top_k == -1:  # all tokens, as vLLM has it
            changes["top_k"] = 0
        return Sampling.of(config, **changes, seed=secrets.randbits(63) if self.seed is None else self.seed % 2**64)

    @property
    def strings(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class CompletionRequest(Request, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of `/v1/completions`."""

    prompt: str | list[Any]

    def prompts(self, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
        """Encode the prompts, each a text or token ids."""
        rows = self.prompt if self._is_several else [self.prompt]
        prompts = [list(tokenizer(row)["input_ids"]) if isinstance(row, str) else row for row in rows]
        for prompt in prompts or [None]:
            if not isinstance(prompt, list) or not prompt or not all(type(token) is int for token in prompt):
                raise PromptError(
                    f"expected text or token ids, at least one token for each prompt, got {brief(prompt)}"
                )
        return prompts

    @property
    def count(self) -> int:
        """The number of prompts."""
        return len(self.prompt) if self._is_several else 1

    @property
    def _is_several(self) -> bool:
        """Whether it is a list of texts, or of lists of tokens."""
        return isinstance(self.prompt, list) and not all(isinstance(part, int) for part in self.prompt)

    @property
    def limit(self) -> int | None:
        """Most tokens of an answer."""
        return SHORT if self.max_tokens is None else self.max_tokens


class ChatRequest(Request, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of `/v1/chat/completions`."""

    messages: list[ChatMessage]
    max_completion_tokens: int | None = None

    def prompts(self, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
        """Encode the chat with the model's template."""
        return [encode([one.template for one in self.messages], tokenizer)]

    @property
    def count(self) -> int:
        """The number of prompts."""
        return 1

    @property
    def limit(self) -> int | None:
        """Most tokens of an answer; None for no limit."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


Body = TypeVar("Body", CompletionRequest, ChatRequest)


def read_body(data: bytes, kind: type[Body]) -> Body:
    """Decode a body, leaving out what is null or changes nothing.

    Raises:
        ValueError: it is not JSON, or has a field that is unknown, missing or of the wrong type.
        RecursionError: it is nested too deeply.
    """
    return msgspec.convert(without_neutral(msgspec.json.decode(data, type=dict[str, Any])), kind, str_keys=True)


@frozen
class Job:
    """The work of a request: one answer for each of `prompts`, which repeats each prompt `n` times."""

    prompts: list[list[int]]
    sampling: tuple[Sampling, ...]
    stop: Stop


def read_job(
    request: CompletionRequest | ChatRequest,
    tokenizer: PreTrainedTokenizerBase,
    config: GenerationConfig | None,
    most: int,
) -> Job:
    """Turn a request for at most `most` answers into a job.

    Raises:
        PromptError: a prompt is empty or malformed.
        OptionError: an option is invalid, or there are too many answers.
    """
    if not 1 <= request.n * request.count <= most:  # before any of them is encoded
        raise OptionError(f"expected 1 to {most} answers to a request, got n={request.n} of {request.count} prompts")
    prompts = request.prompts(tokenizer)
    sampling = request.sampling(config).spread(request.n * len(prompts))
    rows = [prompt for prompt in prompts for _ in range(request.n)]
    return Job(rows, sampling, Stop(request.limit, strings=request.strings))
