"""What clients send with their defaults asks for nothing; what does ask for something that is not done is refused."""

import json
from typing import Any
from unittest.mock import Mock

import pytest
from openai.types.chat import ChatCompletionMessage
from serving import TEMPLATE, tokenizer
from specdec_serve.requests import ChatRequest, CompletionRequest, read_body, read_job

from specdec import OptionError

COMPLETION: dict[str, Any] = {"model": "toy", "prompt": "abc"}
CHAT: dict[str, Any] = {"model": "toy", "messages": [{"role": "user", "content": "abc"}]}
NOTHING: list[dict[str, Any]] = [
    {"logprobs": None},
    {"logprobs": False, "top_logprobs": None},
    {"n": None, "stream": None, "seed": None, "max_tokens": None},
    {"echo": None, "best_of": None, "suffix": None},
    {"echo": False, "best_of": 1},
    {"tools": None, "tool_choice": "none", "parallel_tool_calls": True},
    {"response_format": {"type": "text"}, "reasoning_effort": None},
]
SOMETHING: list[dict[str, Any]] = [
    {"logprobs": 0},
    {"logprobs": True},
    {"top_logprobs": 2},
    {"echo": True},
    {"best_of": 2},
    {"suffix": "end"},
    {"tools": [{"type": "function"}]},
    {"tool_choice": "required"},
    {"response_format": {"type": "json_object"}},
    {"reasoning_effort": "high"},
]


@pytest.mark.parametrize("options", NOTHING, ids=str)
def test_what_asks_for_nothing_changes_nothing(options: dict[str, Any]) -> None:
    chat, completion = read_body(encoded(CHAT), ChatRequest), read_body(encoded(COMPLETION), CompletionRequest)

    assert read_body(encoded(CHAT | options), ChatRequest) == chat
    assert read_body(encoded(COMPLETION | options), CompletionRequest) == completion


@pytest.mark.parametrize("options", SOMETHING, ids=str)
def test_what_is_not_done_is_refused(options: dict[str, Any]) -> None:
    for data, kind in ((CHAT, ChatRequest), (COMPLETION, CompletionRequest)):
        with pytest.raises(ValueError, match=next(iter(options))):
            read_body(encoded(data | options), kind)


def test_all_tokens_may_be_asked_for() -> None:
    """By `top_k=-1`, as of vLLM."""
    assert read_body(encoded(COMPLETION | {"top_k": -1}), CompletionRequest).sampling(None).top_k is None


def test_an_answer_may_be_sent_back_with_all_of_its_fields() -> None:
    answer = ChatCompletionMessage(role="assistant", content="xy", refusal=None, annotations=[])
    for sent in (answer.model_dump(), answer.model_dump(exclude_unset=True)):
        assert prompt([*CHAT["messages"], sent]) == "<user>abc<assistant>xy>"


def test_only_an_assistant_may_have_said_nothing() -> None:
    assert prompt([*CHAT["messages"], {"role": "assistant", "content": None}]) == "<user>abc<assistant>>"
    with pytest.raises(ValueError, match="expected content in a message of the role 'user', got none"):
        prompt([{"role": "user", "content": None}])
    with pytest.raises(ValueError, match="tool_calls"):
        prompt([{"role": "assistant", "content": None, "tool_calls": [{"id": "a"}]}])


@pytest.mark.parametrize(("prompts", "n"), [(["a"] * 9, 1), (["a"] * 3, 3), ([[1, 2]] * 9, 1), ("a", 9)])
def test_answers_are_counted_before_a_prompt_is_encoded(prompts: Any, n: int) -> None:
    encoder = Mock()
    body = read_body(encoded(COMPLETION | {"prompt": prompts, "n": n}), CompletionRequest)
    with pytest.raises(OptionError, match=f"1 to 8 answers.*got n={n} of {9 // n} prompts"):
        read_job(body, encoder, None, 8)

    assert encoder.mock_calls == []


def encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


def prompt(messages: list[Any]) -> str:
    """The prompt of a chat, as a text."""
    encoder = tokenizer()
    assert encoder.chat_template == TEMPLATE
    text = encoder.decode(read_body(encoded(CHAT | {"messages": messages}), ChatRequest).prompts(encoder)[0])
    assert isinstance(text, str)
    return text
