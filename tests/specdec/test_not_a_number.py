"""What is no number is an error where the target itself says it, and changes no text where it was only drafted."""

from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from specdec import Decoder, Sampling, Stop, Target, Tree
from specdec.drafters import NoDrafter, SmallModel
from specdec.errors import NonFiniteLogits
from specdec.policies import Dynamic, Static
from specdec.rules import Match, Rejection, Traversal
from tests.plain import decode_plainly
from tests.toys import RAGGED, Scripted, build, tiny

GOOD = [1, 2, 3]
OTHER = [4, 2, 3, 4, 5, 6, 7, 8]
STOP = Stop(10, tokens=())


def plain(prompts: list[list[int]], sampling: Sampling, count: int = 10) -> tuple[tuple[int, ...], ...]:
    """What each prompt says alone, of a model that can read every token."""
    return tuple(decode_plainly(tiny(), tuple(prompt), sampling, count) for prompt in prompts)


def whole_but_for(token: int) -> PreTrainedModel:
    """`tiny`, which cannot read one token."""
    model = build("llama")
    model.get_input_embeddings().weight[token] = torch.nan
    return model


def unsaid(*texts: tuple[int, ...]) -> int:
    """A token that stands in none of these texts."""
    return next(token for token in range(1, 56) if not any(token in text for text in texts))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_no_numbers(value: float, temperature: float) -> None:
    """The error names the position, and the target continues with other prompts as if nothing had been."""
    model = build("llama")
    decoder = Decoder(SmallModel(tiny()), Target(model), Static((2, 2)))
    row = model.get_output_embeddings().weight
    whole = row.clone()
    row[7] = value
    with pytest.raises(NonFiniteLogits, match=r"model's logits at position 3 .* got a largest of (nan|inf)"):
        decoder.generate([GOOD, [1, 2]], Sampling(temperature), Stop(5, tokens=()))
    row[:] = whole

    assert decoder.generate([GOOD, OTHER], Sampling(), STOP).tokens == plain([GOOD, OTHER], Sampling())


def test_one_bad_token_spoils_only_the_prompts_that_hold_it() -> None:
    """Keys and values that are no numbers go with their batch."""
    model = build("llama")
    embedding = model.get_input_embeddings().weight
    embedding[50] = torch.nan
    decoder = Decoder(NoDrafter(), Target(model))
    with pytest.raises(NonFiniteLogits, match="position 5"):
        decoder.generate([GOOD, [50, 1, 2, 3, 4]], Sampling(), Stop(5, tokens=()))
    embedding[50] = build("llama").get_input_embeddings().weight[50]

    assert decoder.generate([GOOD, OTHER], Sampling(), STOP).tokens == plain([GOOD, OTHER], Sampling())


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_draft_model_that_says_no_numbers_changes_no_text(temperature: float, sampled: bool) -> None:
    """It drafts nothing; it is not the target."""
    broken = build("llama")
    broken.get_output_embeddings().weight[7] = torch.nan
    sampling = Sampling(temperature, seed=2)
    said = Decoder(SmallModel(broken), Target(tiny()), Static((2, 2), sampled)).generate(
        RAGGED, [sampling] * 5, Stop(5, tokens=())
    )

    assert said.tokens == tuple(decode_plainly(tiny(), tuple(prompt), sampling, 5) for prompt in RAGGED)


@pytest.mark.parametrize("rule", [Match, Rejection, Traversal])
@pytest.mark.parametrize("shape", [[-1, 0, 0, 0], [-1, 0, 0, 1], [-1, 0, 1, 0]], ids=["siblings", "above", "below"])
def test_a_drafted_token_that_is_no_number_changes_no_greedy_text(rule: Any, shape: list[int]) -> None:
    """Wherever it stands in the tree, and in its own sequence and those beside it; other drafts are accepted still."""
    prompts = [GOOD, OTHER]
    texts = dict(zip(map(tuple, prompts), plain(prompts, Sampling(), 20), strict=True))
    bad = unsaid(*texts, *texts.values())

    def script(tokens: list[int], room: int) -> Tree:
        prompt = next(prompt for prompt in texts if tuple(tokens[: len(prompt)]) == prompt)
        right = texts[prompt][len(tokens) - len(prompt) :]
        if len(tokens) % 3 == 0:
            return Tree.of([tokens[-1], bad, right[0], right[1]], shape)
        return Tree.of([tokens[-1], right[0], right[1]], [-1, 0, 1])

    said = Decoder(Scripted(script), Target(whole_but_for(bad), rule=rule())).generate(prompts, Sampling(), STOP)

    assert said.tokens == tuple(text[:10] for text in texts.values())
    assert said.metrics.acceptance_length > 1.5


@pytest.mark.parametrize("policy", [Static((3, 2)), Static((3, 2), sampled=True)])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_no_drafter_ends_a_text_that_plain_decoding_finishes(temperature: float, policy: Any) -> None:
    """A draft model that often guesses the one token which the target cannot read."""
    sampling = Sampling(temperature, seed=2)
    texts = plain(RAGGED, sampling)
    bad = unsaid(*map(tuple, RAGGED), *texts)
    draft_model = build("llama")
    head = draft_model.get_output_embeddings().weight
    head[bad] = head[texts[0][0]]
    said = Decoder(SmallModel(draft_model), Target(whole_but_for(bad)), policy).generate(RAGGED, [sampling] * 5, STOP)

    assert said.tokens == texts


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_draft_model_that_cannot_read_a_token_changes_no_text(temperature: float) -> None:
    """Once it has read it, it drafts nothing more of that sequence."""
    sampling = Sampling(temperature, seed=2)
    said = Decoder(SmallModel(whole_but_for(RAGGED[0][3])), Target(tiny()), Static((2, 2)))

    assert said.generate(RAGGED, [sampling] * 5, STOP).tokens == plain(RAGGED, sampling)


def test_a_neighbour_that_is_no_number_ends_its_own_stream_alone() -> None:
    (text,) = plain([GOOD], Sampling())
    bad = unsaid(tuple(GOOD), text)
    target = Target(whole_but_for(bad))
    stream = Decoder(NoDrafter(), target).stream(GOOD, Sampling(), STOP)
    neighbour = Decoder(NoDrafter(), target).stream([bad, 2, 3, 4, 5, 6, 7, 8], Sampling(), STOP)
    said = list(next(stream).tokens[0])
    with pytest.raises(NonFiniteLogits, match="position 8"):
        next(neighbour)

    assert tuple(said + [token for step in stream for token in step.tokens[0]]) == text


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_token_0_is_read_where_it_stands_and_nowhere_else(temperature: float) -> None:
    """Places that hold no token are not filled with it."""
    sampling = Sampling(temperature, seed=4)
    texts = plain([GOOD, OTHER], sampling)
    assert not any(0 in text for text in texts)
    target = Target(whole_but_for(0))
    for decoder in (
        Decoder(NoDrafter(), target),
        Decoder(SmallModel(whole_but_for(0)), target, Dynamic(depth=3, width=3, size=5)),
    ):
        assert decoder.generate([GOOD, OTHER], [sampling] * 2, STOP).tokens == texts
