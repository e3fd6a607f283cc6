"""Dialogues of a toy chat model, of twelve tokens: the same ones however they are made."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from specdec_smollm2.dialogues import Fate
from specdec_smollm2.layout import Layout
from specdec_smollm2.sample import beside, sample
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from specdec import OptionError, Sampling, Stop
from specdec.bench import loops
from specdec.decode import Decoder
from specdec.drafters import NoDrafter
from specdec.target import Target
from specdec.training import Examples
from tests.toys import build

SPECIAL = ["<u>", "<a>", "<end>"]
TEMPLATE = "{% for m in messages %}<{{ m.role[0] }}>{{ m.content }}<end>{% endfor %}<a>"
LENGTHS = {"shortest": 2, "question": 12, "answer": 40}


def tokenizer() -> PreTrainedTokenizerFast:
    words = [*SPECIAL, *"abcdefghi"]
    inner = Tokenizer(models.BPE(vocab={word: place for place, word in enumerate(words)}, merges=[]))
    inner.decoder = decoders.Fuse()
    made = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", clean_up_tokenization_spaces=False)
    made.add_special_tokens({"additional_special_tokens": SPECIAL})
    made.chat_template = TEMPLATE
    return made


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("chat")
    model = build("llama", vocab_size=12, dtype=torch.float32, seed=2, initializer_range=0.3, eos_token_id=2)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def make(chat: str, output: Path, tokens: int = 200, width: int = 4) -> list[dict[str, Any]]:
    options = {"output": output, "target": chat, "tokens": tokens, "width": width, **LENGTHS}
    run([f"--{name}={value}" for name, value in options.items()])
    return lines(output)


def run(arguments: list[str]) -> None:
    app = typer.Typer()
    app.command()(sample)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def whole(chat: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "dialogues.jsonl"
    make(chat, output)
    return output


def test_the_usual_lengths_are_taken_and_a_part_begins_where_it_is_told(chat: str, tmp_path: Path) -> None:
    output = tmp_path / "part.jsonl"
    run([f"--output={output}", f"--target={chat}", "--tokens=20", "--width=2", "--first=1000"])
    assert min(line["seed"] for line in lines(output)) >= 1000


def test_the_width_changes_nothing(chat: str, whole: Path, tmp_path: Path) -> None:
    for width in (1, 9):
        output = tmp_path / f"{width}.jsonl"
        make(chat, output, width=width)
        assert output.read_bytes() == whole.read_bytes()
        assert beside(output).read_bytes() == beside(whole).read_bytes()


@pytest.mark.parametrize("torn", [b"", b'{"seed": 99, "prompt": "\xc3'], ids=["whole", "torn"])
def test_it_goes_on_where_it_stopped(chat: str, whole: Path, tmp_path: Path, torn: bytes) -> None:
    output = tmp_path / "dialogues.jsonl"
    make(chat, output, tokens=70)
    for file in (output, beside(output)):
        file.write_bytes(file.read_bytes() + torn)
    make(chat, output, tokens=140, width=2)
    make(chat, output)
    assert output.read_bytes() == whole.read_bytes()
    assert beside(output).read_bytes() == beside(whole).read_bytes()
    make(chat, output)
    assert output.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    "content", [b"notes without a line's end", b'{"text": "a"}\n', b'{"text": "a"}\n{"text": ', b"[1]\n", b"a\nb"]
)
def test_another_file_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    output = tmp_path / "own.jsonl"
    for file in (output, beside(output)):
        file.write_bytes(content)
        with pytest.raises(OptionError, match="expected a new file, or one of dialogues with their seeds, got"):
            sample(output, target="nowhere")
        assert file.read_bytes() == content
        file.unlink()


def test_answers_are_what_plain_decoding_gives(chat: str, whole: Path) -> None:
    target = Target.from_pretrained(chat)
    layout, decoder = Layout.of(target.tokenizer), Decoder(NoDrafter(), target)
    for line in lines(whole)[:12]:
        sampling = Sampling(temperature=line["temperature"], seed=2 * line["seed"] + 1)
        answer = decoder.generate([layout.tokens(line["prompt"])], sampling, Stop(LENGTHS["answer"]))
        assert layout.tokens(line["response"]) == list(answer.tokens[0])
        assert line["tokens"] == len(answer.tokens[0])


def test_what_is_left_out_is_beside_it(whole: Path) -> None:
    kept, others = lines(whole), lines(beside(whole))
    seeds = [line["seed"] for line in kept + others]
    questions = [line["prompt"] for line in kept]
    assert sorted(seeds) == [*range(len(seeds))]
    assert len({*questions}) == len(questions)
    assert {line["left_out"] for line in others} == {fate.value for fate in Fate} - {Fate.KEPT.value}
    layout = Layout.of(tokenizer())
    for line in kept:
        assert LENGTHS["shortest"] <= len(layout.tokens(layout.question(line["prompt"]))) < LENGTHS["question"]
        assert not loops(layout.tokens(line["response"]))


def test_it_is_training_data(whole: Path) -> None:
    examples, layout = Examples.read([whole], tokenizer()).examples, Layout.of(tokenizer())
    for example, line in zip(examples, lines(whole), strict=True):
        assert example.response.sum() == line["tokens"]
        assert layout.text(example.tokens[example.response].tolist()) == line["response"]


def test_a_loop_repeats_most_of_its_runs() -> None:
    assert loops([1, 2] * 12)
    assert not loops([*range(30)])
    assert not loops([1, 1, 1])


@pytest.mark.parametrize(
    ("template", "message"),
    [(None, "expected a chat model"), ("{{ messages[0].content[:1] }}", "got one that changes it")],
)
def test_templates_that_cannot_be_opened_are_refused(template: str | None, message: str) -> None:
    other = tokenizer()
    other.chat_template = template
    with pytest.raises(OptionError, match=message):
        Layout.of(other)
