"""Training of heads, a little."""

from pathlib import Path

import pytest

pytest.importorskip("specdec")

import numpy as np
from specdec import Decoder, Sampling, Stop, load_drafter
from specdec.target import Target

import specdec_zoo
from specdec_zoo import heads, recipe


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A workspace with a little of a corpus."""
    tokenizer = heads.tokenizer.load(specdec_zoo.path("target"))
    text = "\n".join(specdec_zoo.prompts("tuning"))
    (tmp_path / "data").mkdir()
    np.array(tokenizer(text)["input_ids"] * 2, dtype=np.uint16).tofile(tmp_path / "data" / "train.bin")
    return tmp_path


@pytest.mark.parametrize("name", ["moa", "eagle"])
def test_recipe_makes_a_head_that_drafts(name: str, output: Path) -> None:
    recipe.main(["--stage", "head", "--head", name, "--output", str(output), "--tokens", "2048"])
    folder = output / "models" / name
    assert "2 steps of 4 texts" in (folder / "README.md").read_text(encoding="utf-8")
    target = Target.from_pretrained(specdec_zoo.path("target"))
    decoder = Decoder(load_drafter(name, folder, target=target), target)
    plain = Decoder(load_drafter("none"), target)
    said = [each.generate(["def area(width"], Sampling(), Stop(12)).tokens for each in (decoder, plain)]
    assert said[0] == said[1]


def test_all_heads_see_the_same_texts(output: Path) -> None:
    stream = output / "data" / "train.bin"
    first, second = (heads.examples(stream, 1024) for _ in range(2))
    assert len(first) == 4
    for one, other in zip(first.examples, second.examples, strict=True):
        assert (one.tokens == other.tokens).all()
        assert len(one.tokens) == heads.LENGTH


def test_shipped_heads_have_cards() -> None:
    assert set(specdec_zoo.HEADS) == set(heads.HEADS)
    for name in specdec_zoo.HEADS:
        card = (specdec_zoo.path(name) / "README.md").read_text(encoding="utf-8")
        assert f"--head {name}`" in card
