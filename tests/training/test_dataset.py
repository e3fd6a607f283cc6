import json
from collections.abc import Callable
from gzip import compress
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from specdec.errors import DataError, OptionError
from specdec.training import Examples
from specdec.training.dataset import collate
from tests.toys import byte_tokenizer

TEMPLATE = (
    "{% for m in messages %}<{{ m.role[0] }}>{{ m.content }};{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
)
Write = Callable[..., Path]


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = byte_tokenizer.__wrapped__()
    tokenizer.chat_template = TEMPLATE
    return tokenizer


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*lines: Any, name: str = "data.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
        return path

    return write


TURNS = [("user", "hello"), ("assistant", "hi"), ("user", "more"), ("assistant", "no")]
SHAREGPT = {"conversations": [{"from": {"user": "human", "assistant": "gpt"}[r], "value": v} for r, v in TURNS]}
MESSAGES = {"messages": [{"role": r, "content": v} for r, v in TURNS]}


def turns(key: str, role: str, content: str, user: str = "user", answer: str = "assistant") -> dict[str, Any]:
    names = {"user": user, "assistant": answer}
    return {"id": 1, key: [{role: names[r], content: v, "weight": 1} for r, v in TURNS]}


FORMS = [
    SHAREGPT,
    MESSAGES,
    *(
        turns(key, *names)
        for key in ("messages", "conversations")
        for names in (("role", "content"), ("from", "value"))
    ),
    *(turns("conversations", "from", "value", "human", name) for name in ("chatgpt", "bing", "bard", "model", "GPT")),
    {"messages": [{"role": r, "content": [{"type": "text", "text": v}]} for r, v in TURNS]},
    {"messages": [{"role": r, "content": [{"type": "text", "text": part} for part in v]} for r, v in TURNS]},
    {"messages": None, "text": None, **SHAREGPT},
    {"prompt": MESSAGES["messages"][:-1], "completion": MESSAGES["messages"][-1:]},
]


@pytest.mark.parametrize("line", FORMS)
def test_answers_alone_are_learnt_from(tokenizer: PreTrainedTokenizerFast, write: Write, line: Any) -> None:
    example = Examples.read([write(line)], tokenizer).examples[0]
    assert tokenizer.decode(example.tokens) == "<u>hello;<a>hi;<u>more;<a>no;"
    learnt = [tokenizer.decode([token]) for token in example.tokens[example.response]]
    assert "".join(learnt) == "hi;no;"


def test_text_is_learnt_from_everywhere(tokenizer: PreTrainedTokenizerFast, write: Write) -> None:
    example = Examples.read([write({"text": "a def"})], tokenizer, max_length=3).examples[0]
    assert (len(example.tokens), example.response.all()) == (3, True)


@pytest.mark.parametrize(("prompt", "response", "learnt"), [("zz", "yz", "yz"), ("xa", "bcz", "abcz")])
def test_responses_are_learnt_from_behind_their_prompts(
    tokenizer: PreTrainedTokenizerFast, write: Write, prompt: str, response: str, learnt: str
) -> None:
    """Also where a token lies across the border: it is the response's."""
    example = Examples.read([write({"prompt": prompt, "response": response})], tokenizer).examples[0]
    assert tokenizer.decode(example.tokens) == prompt + response
    assert tokenizer.decode(example.tokens[example.response]) == learnt


def test_a_system_prompt_beside_the_turns_stands_before_them(tokenizer: PreTrainedTokenizerFast, write: Write) -> None:
    example = Examples.read([write(SHAREGPT | {"system": "be kind"})], tokenizer).examples[0]
    assert tokenizer.decode(example.tokens).startswith("<s>be kind;<u>hello;")


def test_the_fingerprint_is_of_tokens_and_of_what_is_learnt(tokenizer: PreTrainedTokenizerFast, write: Write) -> None:
    lines = [{"text": "zyz"}], [{"text": "zyw"}], [{"prompt": "z", "response": "yz"}], [{"text": "zyz"}, {"text": "x"}]
    found = [Examples.read([write(*given)], tokenizer).fingerprint for given in lines]
    assert len(set(found)) == 4
    assert Examples.read([write(*lines[0], name="other.jsonl")], tokenizer).fingerprint == found[0]


def test_plain_files_are_cut_into_pieces(tokenizer: PreTrainedTokenizerFast, write: Write) -> None:
    path = write("0123456789", name="data.txt")
    pieces = Examples.read([path], tokenizer, max_length=4).examples
    assert [tokenizer.decode(piece.tokens) for piece in pieces] == ["0123", "4567", "89"]


MALFORMED = {
    "{": "expected JSON",
    "[1]": "expected an object",
    '{"texts": 1}': r"the keys \['texts'\]",
    '{"text": ""}': "'text'",
    '{"messages": []}': "a list of turns",
    '{"messages": [1]}': "turn 0 to have 'role'",
    '{"messages": [{"role": "robot", "content": ""}]}': "got 'robot'",
    '{"messages": [{"role": ["a"], "content": ""}]}': "'role' of turn 0",
    '{"messages": [{"role": "user", "content": "x"}]}': "an answer",
    '{"conversations": [{"from": "gpt", "value": null}]}': "a text 'value'",
    '{"messages": [{"role": "assistant", "content": null, "tool_calls": []}]}': "a text 'content'",
    '{"messages": [{"role": "assistant", "content": [{"type": "image"}]}]}': "a text 'content'",
    '{"messages": [{"role": "assistant", "content": "", "tool_calls": [{"id": 1}]}]}': "got 'tool_calls' beside it",
    '{"messages": [{"role": "assistant", "content": "x", "reasoning_content": "y"}]}': "all that turn 0 says",
    "[" * 100_000: "expected JSON",
    '{"prompt": "x"}': "a 'prompt' with a 'response'",
    '{"prompt": "x", "response": ""}': "a 'response' of at least one character",
    '{"prompt": [], "response": "x"}': "a 'prompt' of at least one character",
    '{"prompt": 3, "response": "x"}': "a 'prompt' of at least one character, got '3'",
    '{"text": "\\ud800"}': "half a character at 0",
    '{"messages": [{"role": "assistant", "content": "\\udc00"}]}': "half a character",
}


@pytest.mark.parametrize("line", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_line_stops_the_run(tokenizer: PreTrainedTokenizerFast, write: Write, line: str) -> None:
    path = write(SHAREGPT, "", line, SHAREGPT)
    with pytest.raises(DataError, match=rf"data.jsonl:3: .*{MALFORMED[line]}"):
        Examples.read([path], tokenizer)
    examples = Examples.read([path], tokenizer, skip_malformed=True)
    assert (len(examples), examples.skipped) == (2, 1)


def test_bytes_that_are_no_text(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'{"text": "\xff"}\n')
    with pytest.raises(DataError, match=r"data.jsonl:1: expected UTF-8"):
        Examples.read([path], tokenizer)


TWO = '{"text": "zyz"}', '{"text": "x"}'
FILES = {
    "data.jsonl": "\n".join(TWO).encode(),
    "data.JSONL": ("\n\n".join(TWO) + "\n").encode(),
    "data.json": f"[{','.join(TWO)}]".encode(),
    "array.jsonl": "[\n  {},\n  {}\n]\n".format(*TWO).encode(),
    "lines.json": "\n".join(TWO).encode(),
    "data.ndjson": "\n".join(TWO).encode(),
    "windows.jsonl": "\r\n".join(TWO).encode(),
    "mac.jsonl": "\r".join(TWO).encode(),
    "marked.jsonl": b"\xef\xbb\xbf" + "\n".join(TWO).encode(),
    "little.jsonl": b"\xff\xfe" + "\n".join(TWO).encode("utf-16-le"),
    "big.jsonl": b"\xfe\xff" + "\n".join(TWO).encode("utf-16-be"),
    "data.jsonl.gz": compress("\n".join(TWO).encode()),
    "data.json.GZ": compress(f"[{','.join(TWO)}]".encode()),
}


@pytest.mark.parametrize("name", FILES)
def test_files_as_people_have_them(tokenizer: PreTrainedTokenizerFast, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    assert [tokenizer.decode(one.tokens) for one in Examples.read([path], tokenizer).examples] == ["zyz", "x"]


@pytest.mark.parametrize("name", ["plain.txt", "plain.py", "plain.txt.gz"])
def test_a_mark_of_byte_order_is_no_text(tokenizer: PreTrainedTokenizerFast, tmp_path: Path, name: str) -> None:
    path, data = tmp_path / name, b"\xef\xbb\xbfxyz"
    path.write_bytes(compress(data) if name.endswith("gz") else data)
    assert tokenizer.decode(Examples.read([path], tokenizer).examples[0].tokens) == "xyz"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("data.jsonl.gz", b"\x1f\x8b\x08half", "a file to read at .*data.jsonl.gz"),
        ("data.jsonl.gz", b"no gzip", "a file to read at .*data.jsonl.gz"),
        ("data.parquet", b"PAR1\x15\x04\x80PAR1", "data.parquet: expected UTF-8"),
        ("data.jsonl", b"\xff\xfe{", "expected UTF-8 or whole UTF-16 in .*data.jsonl"),
        ("data.jsonl", b"[1]", "data.jsonl:1: expected an object, got '1'"),
        ("data.jsonl", b'[{"text": "x"}', "data.jsonl:1: expected JSON"),
        ("data.jsonl", b'{"text": "x"},\n', "data.jsonl:1: expected JSON"),
        ("data.jsonl", b'{"text": NaN}', "data.jsonl:1: expected a 'text' of at least one character, got 'NaN'"),
    ],
)
def test_files_that_cannot_be_read(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        Examples.read([path], tokenizer)


def test_all_of_a_text_without_a_prompt_is_learnt_from(tokenizer: PreTrainedTokenizerFast, write: Write) -> None:
    lines = {"prompt": "", "response": "xyz"}, {"prompt": "zz", "completion": "xyz"}
    empty, completed = Examples.read([write(*lines)], tokenizer).examples
    assert tokenizer.decode(empty.tokens[empty.response]) == "xyz"
    assert tokenizer.decode(completed.tokens[completed.response]) == "xyz"


def test_nothing_to_learn_from(tokenizer: PreTrainedTokenizerFast, write: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one text"):
        Examples.read([write("")], tokenizer)
    with pytest.raises(DataError, match="a file to read"):
        Examples.read([tmp_path / "none.jsonl"], tokenizer)
    with pytest.raises(DataError, match="at least one text"):
        Examples.read([write("[]", name="data.json")], tokenizer)
    with pytest.raises(OptionError, match="max_length of at least 2"):
        Examples.read([write(SHAREGPT)], tokenizer, max_length=1)
    with pytest.raises(DataError, match="an answer within 5 tokens"):
        Examples.read([write(SHAREGPT)], tokenizer, max_length=5)


def test_templates(tokenizer: PreTrainedTokenizerFast, write: Write) -> None:
    path = write(MESSAGES)
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}{{ messages[0].content }}"
    with pytest.raises(DataError, match="keep turns apart, turn 1 changes others"):
        Examples.read([path], tokenizer)
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(DataError, match="roles must alternate"):
        Examples.read([path], tokenizer)
    tokenizer.chat_template = None
    with pytest.raises(DataError, match="no chat template"):
        Examples.read([path], tokenizer)


def test_batches(tokenizer: PreTrainedTokenizerFast, write: Write) -> None:
    examples = Examples.read([write({"text": "xyz"}, {"text": "0"})], tokenizer)
    batch = collate([examples[1], examples[0]])["batch"]
    assert batch.real.sum(1).tolist() == [1, 2]
    assert batch.response.tolist() == batch.real.tolist()
    assert (batch.indices.tolist(), batch.positions.tolist()) == ([1, 0], [[0, 0], [0, 1]])
