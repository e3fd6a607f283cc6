"""Shared noise is worth tokens, and never a word."""

import json

import pytest
import typer

from specdec import Target
from specdec.bench import shared_noise
from specdec.drafters import SmallModel
from specdec.errors import PromptError
from tests.toys import RAGGED, build, byte_tokenizer, perturbed, tiny


@pytest.mark.parametrize("policy", shared_noise.POLICIES)
@pytest.mark.parametrize("temperature", shared_noise.TEMPERATURES)
def test_the_text_is_the_same_without_it(policy, temperature):
    drafter, target = SmallModel(perturbed()), Target(tiny())

    assert shared_noise.measure(drafter, target, policy, temperature, RAGGED[:3], 8).equal


def test_a_draft_that_is_the_target_is_accepted_whole_with_it_and_not_without():
    gain = shared_noise.measure(SmallModel(tiny()), Target(tiny()), "chain:length=5", 1.0, RAGGED, 12)

    assert gain.shared == 6.0
    assert gain.unshared < 4.0


class TestCommand:
    @pytest.fixture
    def folder(self, tmp_path):
        tokenizer = byte_tokenizer()
        build("llama", vocab_size=len(tokenizer)).save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        return str(tmp_path)

    def test_it_measures_models_in_folders(self, folder, capsys):
        shared_noise.main(folder, folder, count=2, file=None, tokens=4, as_json=True)
        gains = json.loads(capsys.readouterr().out)

        assert [set(gain) for gain in gains] == [{"policy", "temperature", "shared", "unshared", "equal"}] * 4
        assert all(gain["equal"] for gain in gains)

    def test_it_fails_if_a_text_depends_on_the_noise(self, folder, capsys, monkeypatch):
        wrong = shared_noise.Gain("chain", 1.0, shared=3.0, unshared=2.0, equal=False)
        monkeypatch.setattr(shared_noise, "measure", lambda *case: wrong)
        with pytest.raises(typer.Exit):
            shared_noise.main(folder, folder, count=2, file=None, tokens=4, as_json=False)
        printed = capsys.readouterr().out

        assert printed.splitlines()[1].split() == ["chain", "1", "3.00", "2.00", "1.50", "NO"]


class TestPrompts:
    def test_they_come_from_a_file_of_questions(self, tmp_path):
        file = tmp_path / "question.jsonl"
        file.write_text('{"turns": ["one", "more"]}\n\n{"turns": ["two"]}\n{"turns": ["three"]}\n')

        assert shared_noise.prompts(file, 2) == ["one", "two"]

    @pytest.mark.parametrize("text", ["no json", '{"prompt": "one"}', '{"turns": []}', "[1]"])
    def test_other_files_are_refused(self, tmp_path, text):
        file = tmp_path / "question.jsonl"
        file.write_text(text)

        with pytest.raises(
            PromptError, match=r"lines of JSON with 'turns', or with 'task_id' and 'prompt', in .*question\.jsonl"
        ):
            shared_noise.prompts(file)
