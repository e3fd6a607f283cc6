"""Models for images and text, given text: their language part is found, and their text is that of `generate`."""

import pytest
import torch
from transformers import AutoModelForImageTextToText

from specdec import Decoder, Sampling, Stop, Target
from specdec.drafters import SmallModel
from specdec.errors import UnsupportedModel
from specdec.policies import Static
from specdec.target import Engine
from tests.plain import generate
from tests.specdec.target.readings import read_chain
from tests.test_architectures import load

WANTED = (0, 1, 2, -1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["internvl", "llava", "gemma3", "qwen3_vl"])
def test_models_for_images_and_text(kind: str) -> None:
    """As many layers for images as for text are not taken for these."""
    model, prompts = (
        load("tiny_models").tiny_model(kind, AutoModelForImageTextToText),
        [[5, 9, 33, 21, 60, 7], [44, 12]],
    )
    target = Target(model)
    said = Decoder(SmallModel(model), target, Static((2, 2))).generate(prompts, stop=Stop(8, tokens=()))
    with torch.no_grad():
        plain = model(torch.tensor(prompts[:1]), output_hidden_states=True).hidden_states
    engine = Engine(model)
    reading = read_chain(engine, engine.open(), prompts[0], hidden_states=WANTED)

    assert [list(text) for text in said.tokens] == [generate(model, one, 8, Sampling()) for one in prompts]
    for index in WANTED:
        torch.testing.assert_close(reading.hidden_states[index], plain[index], rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_a_prompt_that_sees_itself_both_ways() -> None:
    model = load("tiny_models").tiny_model("paligemma", AutoModelForImageTextToText)
    with pytest.raises(UnsupportedModel, match=r"PaliGemma.*not causal"):
        Target(model)
