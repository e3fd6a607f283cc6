"""Training of heads, a little."""

from pathlib import Path

import pytest

pytest.importorskip("specdec")

import numpy as np
import torch
from specdec import Decoder, Sampling, Stop, load_drafter
from specdec.heads import HalfPrecisionLinear
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


@pytest.mark.skipif("fbgemm" not in torch.backends.quantized.supported_engines, reason="for x86 alone")
@pytest.mark.parametrize("name", ["moa", "moa-tli1", "eagle", "eagle3"])
def test_shipped_heads_draft_with_an_output_head_of_half_the_size(name: str) -> None:
    """What ships has 16 bits, so that nothing is rounded."""
    method, target = name.partition("-")[0], Target.from_pretrained(specdec_zoo.path("target"))
    drafter = load_drafter(method, specdec_zoo.path(name), target=target)
    output, states = drafter.parts.head, torch.randn(2, 8, 160)
    whole = drafter.model.lm_head if method == "eagle3" else target.model.lm_head
    assert isinstance(output, HalfPrecisionLinear)
    with torch.no_grad():
        torch.testing.assert_close(output(states), whole(states), rtol=1e-5, atol=1e-4)


def test_shipped_heads_have_cards() -> None:
    assert set(specdec_zoo.HEADS) == set(heads.HEADS)
    for name in specdec_zoo.HEADS:
        card = (specdec_zoo.path(name) / "README.md").read_text(encoding="utf-8")
        assert f"--head {name}`" in card
