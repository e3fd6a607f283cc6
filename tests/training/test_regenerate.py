"""Answers by the target itself, against its own `generate`."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from specdec import Decoder, Drafter, Sampling, Target
from specdec.drafters import Ngram, NoDrafter
from specdec.errors import DataError, OptionError
from specdec.training import Examples
from specdec.training.regenerate import Lengths, jobs, write
from tests.toys import build, byte_tokenizer
from tests.training.test_answers import BYTES, TEMPLATES
from tests.training.test_dataset import TEMPLATE

MODEL = build("llama", vocab_size=109)
ROOM = 128
CHATS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]},
    {
        "conversations": [
            {"from": "human", "value": "one"},
            {"from": "gpt", "value": "first"},
            {"from": "human", "value": "two"},
            {"from": "gpt", "value": "second"},
            {"from": "human", "value": "unanswered"},
        ]
    },
]
TEXTS: list[dict[str, Any]] = [{"text": "abcabc xyz 0123456789"}, {"prompt": "xyz", "response": "old"}, {"text": "x"}]


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = byte_tokenizer.__wrapped__()
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def data(tmp_path: Path, lines: list[dict[str, Any]]) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def regenerated(
    path: Path, tokenizer: Any, output: Path, drafter: Drafter | None = None, batch: int = 2, **sampling: Any
) -> list[dict[str, Any]]:
    lengths = Lengths(prompt=6, answer=8, room=ROOM)
    todo, _ = jobs([path], tokenizer, lengths)
    write(Decoder(drafter or NoDrafter(), Target(MODEL, tokenizer)), todo, output, Sampling(**sampling), 8, batch)
    return [json.loads(line) for line in output.read_text("utf-8").splitlines()]


def greedy(tokens: list[int]) -> list[int]:
    said = MODEL.generate(
        torch.tensor([tokens]), max_new_tokens=8, do_sample=False, attention_mask=torch.ones(1, len(tokens))
    )
    new: list[int] = said[0, len(tokens) :].tolist()
    return new


def test_each_answer_is_the_targets_own(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    short, long = regenerated(data(tmp_path, CHATS), tokenizer, tmp_path / "out.jsonl")

    def answer(messages: list[dict[str, str]]) -> str:
        encoded = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
        return str(tokenizer.decode(greedy(encoded["input_ids"]), skip_special_tokens=True))

    user = [{"role": "user", "content": text} for text in ("hello", "one", "two")]
    assert short["messages"] == [user[0], {"role": "assistant", "content": answer(user[:1])}]
    first = {"role": "assistant", "content": answer(user[1:2])}
    second = {"role": "assistant", "content": answer([user[1], first, user[2]])}
    assert long["messages"] == [user[1], first, user[2], second]


def test_texts_are_gone_on_from(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    lines = regenerated(data(tmp_path, TEXTS), tokenizer, tmp_path / "out.jsonl")
    first = tokenizer.decode(tokenizer("abcabc xyz 0123456789")["input_ids"][:6])
    assert [line["prompt"] for line in lines] == [first, "xyz", "x"]
    for line in lines:
        tokens = tokenizer(line["prompt"])["input_ids"]
        assert line["response"] == tokenizer.decode(greedy(tokens))


def test_plain_files_are_gone_on_from_piece_by_piece(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    path = tmp_path / "data.txt"
    path.write_text("0123456789" * 3)
    lines = regenerated(path, tokenizer, tmp_path / "out.jsonl")
    assert [line["prompt"] for line in lines] == ["012345", "456789", "89"]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_no_drafter_batch_or_break_changes_an_answer(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, temperature: float
) -> None:
    path = data(tmp_path, CHATS + TEXTS)
    whole = regenerated(path, tokenizer, tmp_path / "whole.jsonl", temperature=temperature, seed=3)
    assert whole == regenerated(path, tokenizer, tmp_path / "one.jsonl", Ngram(), 1, temperature=temperature, seed=3)
    written = (tmp_path / "whole.jsonl").read_bytes()
    for cut in (0, 1, len(written) // 2, len(written) - 1, len(written)):
        (tmp_path / "broken.jsonl").write_bytes(written[:cut])
        assert whole == regenerated(path, tokenizer, tmp_path / "broken.jsonl", temperature=temperature, seed=3)


def test_answers_are_learnt_from(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    regenerated(data(tmp_path, CHATS + TEXTS), tokenizer, output)
    examples = Examples.read([output], tokenizer)
    assert len(examples) == len(CHATS + TEXTS)
    assert all(example.response.any() and not example.response.all() for example in examples.examples)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("limit", [1, 8])
def test_whatever_is_answered_can_be_learnt_from(tmp_path: Path, name: str, limit: int) -> None:
    """Also where answers break off in a character, or look like turns."""
    BYTES.chat_template = TEMPLATES[name][0]
    model = build("llama", vocab_size=len(BYTES), max_position_embeddings=512)
    users = [[{"role": "user", "content": text}, {"role": "assistant", "content": "a"}] for text in ("one", "two")]
    lines = [{"messages": users[0] + users[1]}, {"messages": users[1]}, {"text": "abc"}]
    todo, _ = jobs([data(tmp_path, lines)], BYTES, Lengths(3, limit, 512))
    output = tmp_path / "own.jsonl"
    write(Decoder(NoDrafter(), Target(model, BYTES)), todo, output, Sampling(temperature=1.0), limit, 3)
    assert len(Examples.read([output], BYTES)) == len(lines)


def test_what_does_not_fit(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """A first prompt that is too long is refused; a later one ends its conversation."""
    turn = {"role": "user", "content": "x" * 200}
    answer = {"role": "assistant", "content": "y"}
    path = data(tmp_path, [CHATS[0], {"messages": [turn, answer]}])
    with pytest.raises(DataError, match=r"data.jsonl:2: .* answer of 8 tokens in the target's 128 positions"):
        jobs([path], tokenizer, Lengths(6, 8, ROOM))
    assert jobs([path], tokenizer, Lengths(6, 8, ROOM), skip_malformed=True)[1] == 1
    later = {"messages": [*CHATS[0]["messages"], turn, answer]}
    lines = regenerated(data(tmp_path, [later]), tokenizer, tmp_path / "out.jsonl")
    assert [message["role"] for message in lines[0]["messages"]] == ["user", "assistant"]
    with pytest.raises(OptionError, match="at least 1 token of answer, got 0"):
        Lengths(answer=0)


def test_conversations_need_a_template(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    path = data(tmp_path, CHATS)
    tokenizer.chat_template = "{{ raise_exception('no such role') }}"
    with pytest.raises(DataError, match=r"data.jsonl:1: .*no such role"):
        jobs([path], tokenizer, Lengths())
    tokenizer.chat_template = None
    with pytest.raises(DataError, match=r"data.jsonl:1: .*no chat template"):
        jobs([path], tokenizer, Lengths())


def test_all_turns_are_laid_out_before_the_first_answer(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """A template that demands alternation refuses a conversation by its line; turns that nobody answers are left."""
    tokenizer.chat_template = (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }}{% endfor %}"
    )
    user, answer = ({"role": role, "content": "x"} for role in ("user", "assistant"))
    fits = [user, answer, user, answer, user, user]
    for wrong in ([user, answer, user, user, answer], [user, answer, answer]):
        path = data(tmp_path, [{"messages": fits}, {"messages": wrong}])
        with pytest.raises(DataError, match=r"data.jsonl:2: .*roles must alternate"):
            jobs([path], tokenizer, Lengths())
        todo, skipped = jobs([path], tokenizer, Lengths(), skip_malformed=True)
        assert (len(todo), skipped) == (1, 1)
