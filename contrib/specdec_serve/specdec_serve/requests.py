"""What OpenAI's clients ask for: bodies of `/v1/completions` and `/v1/chat/completions`.

What has no meaning here, such as tools or log probabilities, is refused and not passed over.
"""

import secrets
from reprlib import repr as brief
from typing import Annotated, Any, Literal

import msgspec
from attrs import frozen
from transformers import GenerationConfig, PreTrainedTokenizerBase

from specdec import Sampling, Stop
from specdec.errors import OptionError, PromptError
from specdec.text import encode

SHORT = 16
"""Tokens of a completion where the request does not say."""
Ending = Annotated[str, msgspec.Meta(max_length=128)]
"""A string that ends a text: to find it, it is compared with all tokens of the vocabulary."""
Bias = Annotated[float, msgspec.Meta(ge=-100, le=100)]
"""What is added to a logit, within the bounds that OpenAI has."""
Zero = Annotated[float, msgspec.Meta(ge=0, le=0)] | None
"""An option of which only that value means something here which changes nothing."""


class StreamOptions(msgspec.Struct, frozen=True):
    """How a stream ends."""

    include_usage: bool = False


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A piece of a message."""

    type: Literal["text"]
    text: str


class ChatMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message of a chat."""

    role: str
    content: str | list[Part]
    name: str | None = None

    @property
    def template(self) -> dict[str, str]:
        """The message as templates read it."""
        whole = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": self.role, "content": whole} | ({} if self.name is None else {"name": self.name})


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What both bodies have; `top_k`, `min_p` and `repetition_penalty` are extensions that other servers have too."""

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
        """Sample as the model's own config asks, but for what the request says; without a seed, with a random one."""
        names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
        changes: dict[str, Any] = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.logit_bias:
            changes["sequence_bias"] = [((token,), bias) for token, bias in self.logit_bias.items()]
        return Sampling.of(config, **changes, seed=secrets.randbits(63) if self.seed is None else self.seed % 2**64)

    @property
    def strings(self) -> tuple[str, ...]:
        """The strings that end the text."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class CompletionRequest(Request, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of `/v1/completions`."""

    prompt: str | list[Any]
    echo: Literal[False] = False

    def prompts(self, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
        """Encode what is to be continued, as it stands."""
        rows = self.prompt if self._is_several else [self.prompt]
        prompts = [list(tokenizer(row)["input_ids"]) if isinstance(row, str) else row for row in rows]
        for prompt in prompts or [None]:
            if not isinstance(prompt, list) or not prompt or not all(type(token) is int for token in prompt):
                raise PromptError(
                    f"expected text or token ids, at least one token for each prompt, got {brief(prompt)}"
                )
        return prompts

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
        """Encode the chat by the model's template."""
        return [encode([one.template for one in self.messages], tokenizer)]

    @property
    def limit(self) -> int | None:
        """Most tokens of an answer; None up to its end."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


@frozen
class Job:
    """What is to be generated for a request: an answer for each prompt."""

    prompts: list[list[int]]
    sampling: tuple[Sampling, ...]
    stop: Stop


def read_job(
    request: CompletionRequest | ChatRequest,
    tokenizer: PreTrainedTokenizerBase,
    config: GenerationConfig | None,
    most: int,
) -> Job:
    """Make a job of a request, which may ask for `most` answers.

    Raises:
        PromptError: a prompt is empty, or cannot be read.
        OptionError: an option means nothing, or there are too many answers.
    """
    prompts = request.prompts(tokenizer)
    if not 1 <= request.n * len(prompts) <= most:
        raise OptionError(f"expected 1 to {most} answers to a request, got n={request.n} of {len(prompts)} prompts")
    sampling = request.sampling(config).spread(request.n * len(prompts))
    rows = [prompt for prompt in prompts for _ in range(request.n)]
    return Job(rows, sampling, Stop(request.limit, strings=request.strings))
