"""No token id is special: other names for the tokens give the same text under other names."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from specdec import Decoder, Drafter, Key, Keyed, Probs, Sampling, Stop, Target
from specdec.drafters import Ngram, NoDrafter, SmallModel
from specdec.policies import Chain, Dynamic, Static
from specdec.rules import Match, Rejection
from tests.toys import ARCHITECTURES, RAGGED, VOCAB, Constant, build, tiny

NAMES = torch.randperm(VOCAB, generator=torch.Generator().manual_seed(5))
"""Token t is called NAMES[t] in the other vocabulary."""


def relabelled(model: PreTrainedModel, kind: str, **options: Any) -> PreTrainedModel:
    """The same model under the other names."""
    other = build(kind, **options)
    other.load_state_dict(model.state_dict())
    for part in (other.get_input_embeddings(), other.get_output_embeddings()):
        weight = part.weight.clone()
        part.weight[NAMES] = weight
        if getattr(part, "bias", None) is not None:
            bias = part.bias.clone()
            part.bias[NAMES] = bias
    return other


def renamed(prompts: list[list[int]]) -> list[list[int]]:
    return [NAMES[prompt].tolist() for prompt in prompts]


class Renamed(Keyed):
    """The chances of the first vocabulary, for the other one."""

    def draw(self, weights: Probs, count: int, key: Key) -> list[int]:
        return NAMES[super().draw(weights[NAMES.numpy()], count, key)].tolist()

    def noise(self, key: Key, size: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        noise = np.empty(size, dtype=np.float32)
        noise[NAMES.numpy()] = super().noise(key, size)
        return noise


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("drafter", [NoDrafter, Ngram, SmallModel])
def test_greedy_text_is_renamed_and_nothing_else_changes(kind: str, drafter: Any) -> None:
    """Steps and acceptance too, except for the order of n-grams that tie."""
    options = {"sliding_window": 11} if kind == "mistral" else {}
    models = tiny(kind), relabelled(tiny(kind), kind, **options)
    said = []
    for model, prompts in zip(models, (RAGGED, renamed(RAGGED)), strict=True):
        drafting: Drafter = drafter(model) if drafter is SmallModel else drafter()
        decoder = Decoder(drafting, Target(model), Dynamic(depth=3, width=3, size=6))
        said.append(decoder.generate(prompts, Sampling(), Stop(12, tokens=())))

    assert renamed([list(row) for row in said[0].tokens]) == [list(row) for row in said[1].tokens]
    assert drafter is Ngram or said[0].metrics == said[1].metrics


@pytest.mark.parametrize("rule", [Match, Rejection])
@pytest.mark.parametrize("policy", [Chain(3), Static((2, 2)), Static((2, 2), sampled=True)])
def test_sampled_text_is_renamed_with_its_noise(rule: Any, policy: Any) -> None:
    """Noise belongs to a token's id, so it is given the other names as well."""
    other = relabelled(tiny(), "llama")
    said = []
    for model, chance, prompts in ((tiny(), Keyed(), RAGGED), (other, Renamed(), renamed(RAGGED))):
        decoder = Decoder(SmallModel(model), Target(model, rule=rule(), chance=chance), policy, chance=chance)
        said.append(decoder.generate(prompts, Sampling(0.9, top_k=20, seed=3), Stop(12, tokens=())))

    assert renamed([list(row) for row in said[0].tokens]) == [list(row) for row in said[1].tokens]
    assert said[0].metrics == said[1].metrics


def zero_model() -> PreTrainedModel:
    """A target that says 0 and nothing else."""
    model = build("gpt2", tie_word_embeddings=False)
    model.transformer.ln_f.bias[:] = 0
    model.transformer.ln_f.bias[0] = 100.0
    model.lm_head.weight[:, 0] = 0
    model.lm_head.weight[0, 0] = 1.0
    return model


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("drafter", [lambda _: NoDrafter(), lambda _: Ngram(), SmallModel, lambda _: Constant(0)])
def test_zero_is_a_token_as_any_other(drafter: Any, temperature: float) -> None:
    """A prompt of zeros, a target that says zero, drafts of zeros: all accepted, none dropped."""
    model = zero_model()
    decoder = Decoder(drafter(model), Target(model), Chain(3))
    said = decoder.generate([[0], [0, 0, 0], [0] * 9], Sampling(temperature), Stop(8, tokens=()))

    assert said.tokens == ((0,) * 8,) * 3
    assert isinstance(decoder.drafter, NoDrafter) or said.metrics.acceptance_length >= 8 / 3


def test_zero_may_end_a_text() -> None:
    model = zero_model()
    said = Decoder(Constant(0), Target(model), Chain(3)).generate([4, 5], Sampling(), Stop(8, tokens=[0]))

    assert said.tokens == ((0,),)
