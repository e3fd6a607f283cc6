"""Templates by conversations: the answers as they are laid out are learnt from, what ends them, and nothing else.

Each template stands beside a function that lays a conversation out by hand, in pieces that are learnt from or not.
"""

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from specdec.errors import DataError
from specdec.training import Examples
from specdec.training.learnt import Conversations

Messages = list[dict[str, str]]
Pieces = Iterator[tuple[str, bool]]

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TRIM = CHATML.replace("m.content", "m.content | trim")
JSON = CHATML.replace("m.content", "m.content | tojson")
LAST = (
    "{% set ns = namespace(last=-1) %}{% for m in messages %}"
    "{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
)
ASK = "{% if add_generation_prompt %}<assistant>{% endif %}"
REASONING = (  # as Qwen3's: reasoning is left out of all answers but those after the last question
    LAST + "{% for m in messages %}{% if m.role == 'assistant' %}"
    "{% set c = m.content.split('</think>')[-1].lstrip('\n') if '</think>' in m.content else m.content %}"
    "{% set r = m.content.split('</think>')[0].split('<think>')[-1].strip('\n') if '</think>' in m.content else '' %}"
    "<assistant>{% if loop.index0 > ns.last and (loop.last or r) %}<think>\n{{ r }}\n</think>\n\n{% endif %}"
    "{{ c }}<end>\n{% else %}<{{ m.role }}>{{ m.content }}<end>\n{% endif %}{% endfor %}" + ASK
)
STRIPPED = (  # as DeepSeek R1's: asks for reasoning that it leaves out of what was answered
    "{% for m in messages %}{% if m.role == 'assistant' %}<A>{{ m.content.split('</think>')[-1] }}</s>"
    "{% else %}<{{ m.role }}>{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<A><think>\n{% endif %}"
)
INSTRUCTED = (  # as Llama 2's: the template asks with nothing of its own
    "{% for m in messages %}{% if m.role == 'assistant' %} {{ m.content | trim }} </s>"
    "{% else %}<s>[INST] {{ m.content | trim }} [/INST]{% endif %}{% endfor %}"
)
BARE = "{% for m in messages %}{{ m.content }}{% endfor %}"
HEADED = "{{ messages | length }} turns\n" + CHATML
UNENDED = (  # what ends an answer is there at the end of the conversation alone
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ '</s>' if loop.last else '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\n' }}assistant: {% endif %}"
)
LATE = (  # as Mistral's: what the system says comes before the last question
    LAST + "{% for m in messages %}{% if m.role == 'user' %}"
    "[INST]{% if messages[0].role == 'system' and loop.index0 == ns.last %}{{ messages[0].content }}\n\n{% endif %}"
    "{{ m.content }}[/INST]{% elif m.role == 'assistant' %} {{ m.content }}</s>{% endif %}{% endfor %}"
)
MARKED = CHATML.replace(
    "{{ m.content }}<|im_end|>\n",
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|im_end|>{% endif %}{{ '\n' }}",
)


def chatml(messages: Messages, change: Callable[[str], str] = str) -> Pieces:
    for message in messages:
        own = message["role"] == "assistant"
        yield f"<|im_start|>{message['role']}\n", False
        yield f"{change(message['content'])}<|im_end|>\n", own


def reasoning(messages: Messages) -> Pieces:
    last = max((place for place, message in enumerate(messages) if message["role"] == "user"), default=-1)
    for place, message in enumerate(messages):
        role, content = message["role"], message["content"]
        yield f"<{role}>", False
        if role == "assistant":
            _, tag, after = content.rpartition("</think>")
            answer = after.lstrip("\n") if tag else content
            thought = content.split("</think>")[0].split("<think>")[-1].strip("\n") if tag else ""
            if place > last and (place == len(messages) - 1 or thought):
                answer = f"<think>\n{thought}\n</think>\n\n{answer}"
            content = answer
        yield f"{content}<end>\n", role == "assistant"


def stripped(messages: Messages) -> Pieces:
    for message in messages:
        own = message["role"] == "assistant"
        yield "<A>" if own else f"<{message['role']}>", False
        yield (message["content"].split("</think>")[-1] + "</s>", True) if own else (message["content"], False)


def instructed(messages: Messages) -> Pieces:
    for message in messages:
        text = message["content"].strip()
        yield from (
            [(" ", False), (f"{text} </s>", True)]
            if message["role"] == "assistant"
            else [(f"<s>[INST] {text} [/INST]", False)]
        )


def bare(messages: Messages) -> Pieces:
    yield from ((message["content"], message["role"] == "assistant") for message in messages)


def headed(messages: Messages) -> Pieces:
    yield f"{len(messages)} turns\n", False
    yield from chatml(messages)


def unended(messages: Messages) -> Pieces:
    for place, message in enumerate(messages):
        last, own = place == len(messages) - 1, message["role"] == "assistant"
        yield f"{message['role']}: ", False
        yield message["content"], own
        yield ("</s>", own) if last else ("\n", False)


def late(messages: Messages) -> Pieces:
    system = messages[0]["content"] + "\n\n" if messages[0]["role"] == "system" else ""
    last = max(place for place, message in enumerate(messages) if message["role"] == "user")
    for place, message in enumerate(messages):
        if message["role"] == "user":
            yield f"[INST]{system if place == last else ''}{message['content']}[/INST]", False
        elif message["role"] == "assistant":
            yield " ", False
            yield f"{message['content']}</s>", True


def marked(messages: Messages) -> Pieces:
    for text, own in chatml(messages):
        yield text.removesuffix("\n") if own else text, own
        if own:
            yield "\n", False


TEMPLATES: dict[str, tuple[str, Callable[[Messages], Pieces]]] = {
    "chatml": (CHATML, chatml),
    "trim": (TRIM, lambda messages: chatml(messages, lambda text: text.strip())),
    "json": (JSON, lambda messages: chatml(messages, lambda text: escaped(text))),
    "reasoning": (REASONING, reasoning),
    "stripped": (STRIPPED, stripped),
    "instructed": (INSTRUCTED, instructed),
    "bare": (BARE, bare),
    "headed": (HEADED, headed),
    "unended": (UNENDED, unended),
    "late": (LATE, late),
    "marked": (MARKED, marked),
}


def escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def tokenizer(*merges: str, trim: bool = False) -> PreTrainedTokenizerFast:
    """Make one of all bytes, and of merges of two characters each."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    pairs = [tuple(split.pre_tokenize_str(merge)[0][0]) for merge in merges]
    words = [*alphabet, *("".join(pair) for pair in pairs)]
    made = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=pairs))  # type: ignore[arg-type]
    made.pre_tokenizer, made.decoder = split, decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=trim)
    return PreTrainedTokenizerFast(tokenizer_object=made, clean_up_tokenization_spaces=False)


BYTES = tokenizer()
MERGED = tokenizer("\n\n", "> ", ">\n", "\n ", "ab", "t\n", " a", "a<", trim=True)

PARTS = ["hello", "a", "b ", " a", "\n", "\n\n", "    x = 1", "é😀", "<think>", "</think>", "\n</think>\n\n", "Qz7Jq"]
PARTS += ["9wX3w", "<|im_start|>assistant\n", "<assistant>", "<A>", "<|im_end|>\n", "<end>\n", "</s>", "q", "Q", "w"]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=5).map("".join)


@st.composite
def conversations(draw: Any) -> Messages:
    """Questions and answers in turn, after a system's message or none; the last question may have no answer."""
    turns = draw(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4))
    messages = [
        {"role": role, "content": content}
        for turn in turns
        for role, content in zip(("user", "assistant"), turn, strict=True)
    ]
    if len(turns) > 1 and draw(st.booleans()):
        messages.pop()
    if draw(st.booleans()):
        messages.insert(0, {"role": "system", "content": draw(TEXTS)})
    return messages


def learnt_from(tokens: list[int], response: list[bool]) -> str:
    return str(BYTES.decode([token for token, own in zip(tokens, response, strict=True) if own]))


@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=60, deadline=None)
@given(messages=conversations())
def test_answers_and_what_ends_them_are_learnt_from(name: str, messages: Messages) -> None:
    template, by_hand = TEMPLATES[name]
    pieces = list(by_hand(messages))
    for tokens in (BYTES, MERGED):
        tokens.chat_template = template
        assert tokens.apply_chat_template(messages, tokenize=False) == "".join(text for text, _ in pieces)
    ids, response = Conversations(BYTES)(messages)
    assert ids == BYTES.apply_chat_template(messages, return_dict=True)["input_ids"]
    assert learnt_from(ids, response) == "".join(text for text, own in pieces if own)
    if name != "marked":
        assert_no_other_words(messages, pieces)


def assert_no_other_words(messages: Messages, pieces: list[tuple[str, bool]]) -> None:
    """Where tokens lie across borders, all within an answer are learnt from, and none outside of it."""
    text = "".join(text for text, _ in pieces)
    own = [own for text, own in pieces for _ in text.encode()]
    ids, response = Conversations(MERGED)(messages)
    assert ids == MERGED.apply_chat_template(messages, return_dict=True)["input_ids"]
    ends = [0]
    for token in ids:
        ends.append(ends[-1] + len(MERGED.convert_ids_to_tokens(token)))
    assert ends[-1] == len(text.encode())
    for (start, end), learnt in zip(pairwise(ends), response, strict=True):
        if all(own[start:end]) or not any(own[start:end]):
            assert learnt == own[start]


def test_no_token_with_the_users_words_is_learnt_from() -> None:
    """Neither at the beginning of an answer nor at its end, where nothing stands between them."""
    messages = [{"role": role, "content": text} for role, text in zip(["user", "assistant"] * 2, "abab", strict=True)]
    MERGED.chat_template = BARE
    ids, response = Conversations(MERGED)([*messages, {"role": "user", "content": "x"}])
    assert [MERGED.decode(token) for token in ids] == ["ab", "ab", "x"]
    assert response == [False, False, False]


@pytest.mark.parametrize("prepend", [True, False])
@pytest.mark.parametrize("answer", ["hello world", "\n\n  x = 1", "é 😀 zß", " good", ""])
def test_tokenizers_that_write_blanks_otherwise(prepend: bool, answer: str) -> None:
    """As SentencePiece does, with bytes where a character is not known."""
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    if prepend:
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    special = ["<unk>", "</s>", "<|user|>", "<|assistant|>", *(f"<0x{byte:02X}>" for byte in range(256))]
    made.train_from_iterator(["hello world x = 1\n  a good question"] * 2, trainers.BpeTrainer(special_tokens=special))
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokens = PreTrainedTokenizerFast(tokenizer_object=made, clean_up_tokenization_spaces=False)
    tokens.chat_template = CHATML.replace("<|im_start|>{{ m.role }}", "<|{{ m.role }}|>").replace("<|im_end|>", "</s>")
    turns = [("user", "a question 😀"), ("assistant", answer), ("user", "é"), ("assistant", "yes")]
    ids, response = Conversations(tokens)([{"role": role, "content": text} for role, text in turns])
    said = tokens.decode([token for token, own in zip(ids, response, strict=True) if own])
    assert "".join(said.split()) == "".join(f"{answer}</s>yes</s>".split())


MIXING = {
    "a length of all": "{{ messages | map(attribute='content') | join | length }}|" + CHATML,
    "a question twice": "{% for m in messages %}{{ m.content }}{% endfor %}{{ messages[0].content }}",
    "an answer before its question": "{{ messages[-1].content }}{{ messages[0].content }}{{ messages[-1].content }}",
    "an answer left out": "{% for m in messages if m.content != 'no' %}<{{ m.role }}>{{ m.content }}{% endfor %}",
}


@pytest.mark.parametrize("name", MIXING)
def test_what_cannot_be_told_apart_is_refused(name: str, tmp_path: Path) -> None:
    BYTES.chat_template = MIXING[name]
    messages = [{"role": "user", "content": "question"}, {"role": "assistant", "content": "no"}]
    with pytest.raises(DataError, match="expected the chat template to"):
        Conversations(BYTES)(messages)
    file = tmp_path / "data.jsonl"
    file.write_text(json.dumps({"messages": messages}) + "\n" + json.dumps({"text": "x"}) + "\n")
    assert Examples.read([file], BYTES, skip_malformed=True).skipped == 1


@settings(max_examples=60, deadline=None)
@given(messages=conversations(), name=st.sampled_from(sorted(TEMPLATES)))
def test_no_conversation_stops_a_run(messages: Messages, name: str) -> None:
    """Whatever an answer is: what the target says is not chosen."""
    BYTES.chat_template = TEMPLATES[name][0]
    assume(any(message["role"] == "assistant" for message in messages))
    _, response = Conversations(BYTES)(messages)
    assert any(response) or name == "bare"
