"""Questions and answers go to a file and come back; files of FastChat, Spec-Bench, HumanEval and EAGLE are read."""

import gzip
import json

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from specdec.bench import Question, answers, questions
from specdec.bench.answers import Answer, Choice
from specdec.errors import DataError, PromptError

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
COUNTS = st.lists(st.integers(0, 10**6), max_size=3)
IDS = st.integers(0, 10**9) | TEXT
QUESTIONS = st.fixed_dictionaries(
    {
        "question_id": IDS,
        "category": TEXT,
        "turns": st.lists(TEXT, min_size=1, max_size=3),
        "extra": st.dictionaries(TEXT.filter(lambda key: key not in questions.OWN), TEXT | st.lists(TEXT), max_size=2),
    }
)
CHOICES = st.builds(
    Choice,
    index=st.integers(0, 9),
    turns=st.lists(TEXT, max_size=3),
    decoding_steps=COUNTS,
    new_tokens=COUNTS,
    wall_time=st.lists(st.floats(0, 1e6), max_size=3),
    accept_lengths=COUNTS,
)
ANSWERS = st.builds(
    Answer,
    question_id=IDS,
    answer_id=TEXT,
    model_id=TEXT,
    choices=st.lists(CHOICES, max_size=3).map(tuple),
    tstamp=st.floats(0, 1e10),
    category=TEXT,
)


@given(st.lists(QUESTIONS, min_size=1, max_size=4))
def test_questions_come_back(tmp_path_factory, parts):
    file, made = tmp_path_factory.mktemp("questions") / "question.jsonl", [Question(**part) for part in parts]
    questions.write(file, made)

    assert questions.read(file) == made


@given(st.lists(ANSWERS, max_size=4))
def test_answers_come_back(tmp_path_factory, given_answers):
    file = tmp_path_factory.mktemp("answers") / "answer.jsonl"
    answers.write(file, given_answers)

    assert answers.read(file) == given_answers


def test_what_is_written_has_the_fields_that_spec_bench_reads(tmp_path):
    file = tmp_path / "answer.jsonl"
    choice = Choice(0, ["said"], [3], [7], [0.5], [3, 3, 1])
    answers.write(file, [Answer(81, "id", "moa", (choice,), 1.0, "writing")])
    line = json.loads(file.read_text())

    assert (line["question_id"], line["model_id"], line["category"]) == (81, "moa", "writing")
    assert line["choices"] == [
        {
            "index": 0,
            "turns": ["said"],
            "decoding_steps": [3],
            "new_tokens": [7],
            "wall_time": [0.5],
            "accept_lengths": [3, 3, 1],
        }
    ]


def test_answers_of_fastchat_and_of_eagle_are_read(tmp_path):
    plain = {"question_id": 81, "answer_id": "x", "model_id": "m", "tstamp": 1.5}
    eagle = {"index": 0, "turns": ["a", "b"], "idxs": [4, 5], "new_tokens": [9, 9], "wall_time": [1.0, 2.0]}
    file = tmp_path / "answer.jsonl"
    lines = [{**plain, "choices": [{"index": 0, "turns": ["a"]}]}, {**plain, "choices": [eagle]}]
    file.write_text("\n".join(map(json.dumps, lines)))
    fastchat, other = answers.read(file)

    assert fastchat.choices == (Choice(0, ["a"]),)
    assert other.choices[0].decoding_steps == (4, 5)


def test_other_files_are_no_answers(tmp_path):
    file = tmp_path / "answer.jsonl"
    file.write_text('{"question_id": 1}')

    with pytest.raises(DataError, match=r"lines of JSON with 'choices' in .*answer\.jsonl"):
        answers.read(file)


def test_a_question_without_a_number_has_that_of_its_line(tmp_path):
    file = tmp_path / "question.jsonl"
    file.write_text('{"turns": ["one"]}\n\n{"turns": ["two"], "reference": ["r"]}\n')

    assert questions.read(file) == [Question(1, "", ["one"]), Question(2, "", ["two"], {"reference": ["r"]})]


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
def test_problems_of_human_eval_are_read(tmp_path, ending):
    """A line of the form of the released file's."""
    line = (
        r'{"task_id": "HumanEval/23", "prompt": "\n\ndef strlen(string: str) -> int:\n    \"\"\" Return length of '
        r"""given string\n    >>> strlen('')\n    0\n    \"\"\"\n", "entry_point": "strlen", """
        r'"canonical_solution": "    return len(string)\n", "test": "\n\nMETADATA = {\n    '
        r"""'author': 'jt',\n    'dataset': 'test'\n}\n\n\ndef check(candidate):\n    assert candidate('') == 0\n"}"""
    )
    data, file = f"{line}\n".encode(), tmp_path / f"HumanEval.{ending}"
    file.write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    (one,) = questions.load([str(file)])["HumanEval"]

    assert one.question_id == "HumanEval/23"
    assert one.prompt.startswith('\n\ndef strlen(string: str) -> int:\n    """ Return length')
    assert one.prompt.endswith('"""\n')
    assert sorted(one.extra) == ["canonical_solution", "entry_point", "test"]
    questions.write(tmp_path / "again.jsonl", [one])
    assert questions.read(tmp_path / "again.jsonl") == [one]


def test_questions_of_spec_bench_are_read(tmp_path):
    """Lines of the form of the released file's: of MT-Bench with two turns, of other tasks with one."""
    file = tmp_path / "question.jsonl"
    file.write_text(
        '{"question_id": 81, "category": "writing", "turns": ["Compose an engaging travel blog post about a recent '
        'trip to Hawaii, highlighting cultural experiences and must-see attractions.", "Rewrite your previous '
        'response. Start every sentence with the letter A."]}\n{"question_id": 481, "category": "math_reasoning", '
        '"turns": ["Question: Jerry has two daughters and one son.\\n\\nAnswer:"], "reference": ["32"]}\n'
    )
    first, second = questions.read(file)

    assert (first.question_id, first.category, len(first.turns)) == (81, "writing", 2)
    assert first.prompt.startswith("Compose an engaging travel blog post")
    assert (second.category, second.turns) == (
        "math_reasoning",
        ("Question: Jerry has two daughters and one son.\n\nAnswer:",),
    )
    assert second.extra == {"reference": ["32"]}


def test_a_file_that_is_not_whole_is_refused(tmp_path):
    file = tmp_path / "HumanEval.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"task_id": "a", "prompt": "b"}')[:-9])

    with pytest.raises(PromptError, match=r"with 'task_id' and 'prompt', in .*HumanEval\.jsonl\.gz"):
        questions.read(file)


@pytest.mark.parametrize(
    "text",
    ["", "no json", '{"task_id": "a", "prompt": 1}', '{"turns": []}', '{"turns": "text"}', '{"turns": [1]}', "[1]"],
)
def test_other_files_are_no_questions(tmp_path, text):
    file = tmp_path / "question.jsonl"
    file.write_text(text)

    with pytest.raises(PromptError, match=r"question\.jsonl"):
        questions.read(file)


class TestSets:
    def test_those_of_the_zoo_go_by_their_names(self):
        zoo = pytest.importorskip("specdec_zoo")
        loaded = questions.load(["functions", "classes", "tests", "tuning"])

        assert {name: [one.prompt for one in found] for name, found in loaded.items()} == {
            name: zoo.prompts(name) for name in loaded
        }
        assert all("source" in one.extra for found in loaded.values() for one in found)

    def test_a_file_goes_by_its_own_name_and_may_be_cut(self, tmp_path):
        made = [Question(number, "", [f"prompt {number}"]) for number in range(4)]
        questions.write(tmp_path / "mine.jsonl", made)

        assert questions.load([str(tmp_path / "mine.jsonl")], limit=2) == {"mine": made[:2]}

    def test_what_is_neither_is_refused_with_the_names_that_there_are(self):
        with pytest.raises(PromptError, match="a set of prompts, got 'poems'; the sets are: "):
            questions.load(["poems"])

    def test_two_of_one_name_are_refused(self, tmp_path):
        file = tmp_path / "mine.jsonl"
        questions.write(file, [Question(1, "", ["text"])])

        with pytest.raises(PromptError, match="different names, got 'mine' twice"):
            questions.load([str(file), str(file)])


def test_a_choice_is_a_value():
    assert evolve(Choice(0, ["a"]), index=1) == Choice(1, ("a",))
