"""Two tiny models in folders, as a user has them."""

import json

import pytest
import torch

from tests.toys import build, byte_tokenizer

TEXTS = [{"text": f"abcabc {number} xyz" * 2} for number in range(12)]


def save(folder, seed):
    tokenizer = byte_tokenizer()
    model = build("llama", seed=seed, dtype=torch.float32, vocab_size=len(tokenizer), max_position_embeddings=256)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def target(tmp_path_factory):
    return save(tmp_path_factory.mktemp("target"), seed=1)


@pytest.fixture(scope="session")
def draft(tmp_path_factory):
    return save(tmp_path_factory.mktemp("draft"), seed=2)


@pytest.fixture
def data(tmp_path):
    """Training data."""
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(text) + "\n" for text in TEXTS))
    return path


def usual(*defaults):
    """Give a function that puts defaults, each an option and its value, before arguments that do not have them."""
    pairs = list(zip(defaults[::2], defaults[1::2], strict=True))

    def complete(args):
        return [part for pair in pairs if pair[0] not in args for part in pair] + list(args)

    return complete
