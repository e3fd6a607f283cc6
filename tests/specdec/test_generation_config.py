"""`Sampling.of` does what transformers' `generate` does with a model's generation config, whoever drafts."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig, LogitsProcessor, PreTrainedModel, RepetitionPenaltyLogitsProcessor
from transformers.utils import logging

from specdec import Decoder, Sampling, Stop, Target
from specdec.drafters import NoDrafter, SmallModel
from specdec.errors import OptionError
from specdec.options import Span
from specdec.policies import Static
from specdec.processors import FILTERS, PROCESSORS
from specdec.sampling import probs, scores
from tests.toys import VOCAB, build, perturbed, prompt, tiny

PROMPTS = [prompt(9), prompt(1), prompt(4) * 3]
COUNT = 14
IDS = st.integers(0, VOCAB - 1)
ENDS = st.one_of(IDS, st.lists(IDS, min_size=1, max_size=3, unique=True))
GREEDY: dict[str, st.SearchStrategy[Any]] = {
    "repetition_penalty": st.sampled_from([0.7, 1.0, 1.05, 1.9]),
    "no_repeat_ngram_size": st.integers(0, 3),
    "bad_words_ids": st.lists(st.lists(IDS, min_size=1, max_size=3), min_size=1, max_size=9),
    "sequence_bias": st.lists(
        st.tuples(st.lists(IDS, min_size=1, max_size=3), st.sampled_from([-9.0, 9.0])).map(list),
        min_size=1,
        max_size=6,
        unique_by=lambda pair: tuple(pair[0]),
    ),
    "min_length": st.integers(0, 20),
    "min_new_tokens": st.integers(0, 12),
    "forced_bos_token_id": IDS,
    "forced_eos_token_id": ENDS,
    "remove_invalid_values": st.booleans(),
    "exponential_decay_length_penalty": st.tuples(st.integers(0, 9), st.sampled_from([1.1, 1.9])),
    "suppress_tokens": st.lists(st.integers(0, 20), min_size=1, max_size=9),
    "begin_suppress_tokens": st.lists(IDS, min_size=1, max_size=30),
    "renormalize_logits": st.booleans(),
}
WARM: dict[str, st.SearchStrategy[Any]] = {
    "temperature": st.sampled_from([0.5, 1.0, 1.7]),
    "top_k": st.integers(0, 60),
    "top_p": st.sampled_from([0.3, 0.9, 1.0]),
    "min_p": st.sampled_from([0.0, 0.05]),
    "typical_p": st.sampled_from([0.2, 0.9, 1.0]),
    "epsilon_cutoff": st.sampled_from([0.0, 3e-2]),
    "eta_cutoff": st.sampled_from([0.0, 3e-2]),
    "top_h": st.sampled_from([0.3, 0.8]),
}
FEW = settings(max_examples=3)
ENDED = {"eos_token_id": [7, 13], "pad_token_id": 0}


@contextmanager
def configured(model: PreTrainedModel, **options: Any) -> Iterator[GenerationConfig]:
    """Give a model a generation config for a while; transformers warns of options that it does not use."""
    before, level = model.generation_config, logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        model.generation_config = GenerationConfig(**options)
        yield model.generation_config
    finally:
        model.generation_config = before
        logging.set_verbosity(level)


def generate(model: PreTrainedModel, tokens: list[int], **options: Any) -> Any:
    """What `generate` says of itself, its warnings unheard."""
    ids = torch.tensor([tokens])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=COUNT, **options)


@pytest.mark.parametrize("name", GREEDY)
@FEW
@given(st.data())
def test_greedy_texts_are_those_of_generate(name: str, data: st.DataObject) -> None:
    """Each option, alone and beside others; a prompt of one token too."""
    others = data.draw(st.lists(st.sampled_from(list(GREEDY)), max_size=2, unique=True))
    options = {each: data.draw(GREEDY[each]) for each in dict.fromkeys([name, *others])}
    if "suppress_tokens" in options:  # of which none may be forced
        options = {each: value for each, value in options.items() if not each.startswith("forced")}
    model, tokens = tiny(), data.draw(st.sampled_from(PROMPTS))
    with configured(model, **options, **ENDED) as config:
        expected = tuple(generate(model, tokens)[0, len(tokens) :].tolist())
        for drafter in (NoDrafter(), SmallModel(perturbed())):
            decoder = Decoder(drafter, Target(model), Static((2, 2, 1)))
            assert decoder.generate(tokens, Sampling.of(config), Stop(COUNT)).tokens == (expected,)


@pytest.mark.parametrize("name", {**GREEDY, **WARM})
@FEW
@given(st.data())
def test_sampled_tokens_have_the_law_of_generate(name: str, data: st.DataObject) -> None:
    strategies = GREEDY | WARM
    others = data.draw(st.lists(st.sampled_from(list(strategies)), max_size=3, unique=True))
    options = {each: data.draw(strategies[each]) for each in dict.fromkeys([name, *others])}
    if "suppress_tokens" in options:  # of which none may be forced
        options = {each: value for each, value in options.items() if not each.startswith("forced")}
    model, tokens = tiny(), data.draw(st.sampled_from(PROMPTS))
    with configured(model, **options, do_sample=True, **ENDED) as config:
        said = generate(model, tokens, output_scores=True, output_logits=True, return_dict_in_generate=True)
        sampling = Sampling.of(config, span=Span(len(tokens), len(tokens) + COUNT, (7, 13)))
    for step, (logits, expected) in enumerate(zip(said.logits, said.scores, strict=True)):
        history = said.sequences[0, : len(tokens) + step].tolist()
        found = scores(sampling, history, logits[0])
        exact = expected[0].double().softmax(-1).numpy()

        assert torch.equal(found.isfinite(), expected[0].isfinite())
        np.testing.assert_allclose(probs(sampling, history, logits[0]), exact, rtol=1e-4, atol=1e-8)


def test_all_options_of_generate_for_plain_values_are_tried() -> None:
    assert set(GREEDY) == set(PROCESSORS)
    assert set(WARM) == {*FILTERS, "temperature"}


@pytest.mark.parametrize(
    ("config", "sampling"),
    [
        ({}, Sampling()),
        ({"temperature": 0.6, "top_p": 0.9, "top_k": 20}, Sampling()),
        ({"do_sample": True}, Sampling(1.0, 50)),
        ({"do_sample": True, "top_k": 0, "temperature": 0.6}, Sampling(0.6)),
        ({"do_sample": True, "temperature": 0.0}, Sampling(0.0, 50)),
        (
            {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05},
            Sampling(0.7, 20, 0.8, repetition_penalty=1.05),
        ),
        ({"repetition_penalty": 1.05, "num_beams": 3}, Sampling(repetition_penalty=1.05)),
    ],
    ids=str,
)
def test_what_a_generation_config_asks_for(config: dict[str, Any], sampling: Sampling) -> None:
    with configured(tiny(), **config) as options:
        assert Sampling.of(options) == sampling


def test_changes_come_before_the_config() -> None:
    config = GenerationConfig(do_sample=True, temperature=0.7, top_p=0.8, repetition_penalty=1.05)

    assert Sampling.of(config, temperature=0.0, seed=4) == Sampling(0.0, 50, 0.8, repetition_penalty=1.05, seed=4)
    assert Sampling.of(None, top_p=0.5) == Sampling(top_p=0.5)


def test_a_temperature_samples_as_a_config_says_that_does_not_sample_itself() -> None:
    config = GenerationConfig(top_p=0.9, top_k=20)

    assert Sampling.of(config, temperature=0.7) == Sampling(0.7, 20, 0.9)
    assert Sampling.of(config, temperature=0.7, top_k=5) == Sampling(0.7, 5, 0.9)
    assert Sampling.of(config, temperature=0.0) == Sampling()
    assert Sampling.of(GenerationConfig(), temperature=0.7) == Sampling(0.7)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"repetition_penalty": 1.05}, r"repetition_penalty=1.05; Sampling.of\(model.generation_config\)"),
        ({"do_sample": True}, "temperature=1.0, top_k=50; Sampling.of"),
        ({"suppress_tokens": [3]}, r"suppress_tokens=\(3,\)"),
        ({"stop_strings": ["x"]}, r"stop_strings=\['x'\]"),
        ({"max_new_tokens": 5}, r"max_new_tokens=5; Sampling.of\(model.generation_config\) and Stop\(...\) follow it"),
        ({"num_beams": 3}, "num_beams=3; nothing here follows that"),
        ({"guidance_scale": 1.5, "min_length": 3}, "min_length=3; .*, and for guidance_scale=1.5; nothing"),
    ],
    ids=str,
)
def test_a_decoder_warns_once_of_what_it_does_not_follow(config: dict[str, Any], message: str) -> None:
    model = build("llama")
    with configured(model, **config):
        decoder = Decoder(NoDrafter(), Target(model))
        with pytest.warns(UserWarning, match=message):
            decoder.generate([1, 2], stop=Stop(tokens=()))
        decoder.generate([1, 2], stop=Stop(tokens=()))  # where a warning would be an error


def test_a_config_that_nothing_can_follow_is_said_to_be_such() -> None:
    model = build("llama")
    with configured(model, do_sample=True) as config:
        config.temperature = -1.0
        with pytest.raises(OptionError) as refused:
            Sampling.of(config)
        with pytest.warns(UserWarning, match="config") as warned:
            Decoder(NoDrafter(), Target(model)).generate([1, 2], stop=Stop(2))

    assert str(warned[0].message) == f"the target's generation config cannot be followed: {refused.value}"


def test_a_decoder_is_quiet_where_all_is_followed_or_asked_otherwise() -> None:
    model = build("llama")
    for config in ({}, {"num_beams": 1, "guidance_scale": 1.0}, {"temperature": 0.5}, {"do_sample": True, "top_k": 9}):
        with configured(model, **config) as options:
            Decoder(NoDrafter(), Target(model)).generate([1, 2], Sampling.of(options), Stop(2))
    with configured(model, do_sample=True, repetition_penalty=1.1):
        asked = Sampling(0.3, 5, repetition_penalty=1.3)
        Decoder(NoDrafter(), Target(model)).generate([1, 2], asked, Stop(2))


class Nothing(LogitsProcessor):
    """Equal to all processors; and so lost, wherever equality counts."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = LogitsProcessor.__hash__

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return scores.index_fill(-1, torch.tensor([int(scores[0].argmax())]), -9.0)


def test_a_processor_of_ones_own_takes_the_place_of_one_of_its_type() -> None:
    """As `generate` has it; two that are equal both count."""
    model, mine = tiny(), RepetitionPenaltyLogitsProcessor(1.9)
    replaced = Sampling(repetition_penalty=1.1, no_repeat_ngram_size=2, processors=[mine])
    same = Sampling(repetition_penalty=1.9, no_repeat_ngram_size=2)
    decoder = Decoder(NoDrafter(), Target(model))
    once, twice = Sampling(processors=[Nothing()]), Sampling(processors=[Nothing(), Nothing()])
    logits = torch.arange(5.0)

    assert decoder.generate(PROMPTS[0], replaced, Stop(9)) == decoder.generate(PROMPTS[0], same, Stop(9))
    assert [int(scores(sampling, [0], logits).argmax()) for sampling in (once, twice)] == [3, 2]


def test_options_that_look_at_lengths_need_to_know_where_a_text_begins() -> None:
    for sampling in (Sampling(min_new_tokens=2), Sampling(begin_suppress_tokens=[3]), Sampling(forced_eos_token_id=1)):
        with pytest.raises(OptionError, match="expected a Sampling with a span, as Decoder makes it, for "):
            probs(sampling, [0, 1], torch.zeros(VOCAB))


def test_ends_that_the_caller_names_are_those_that_are_put_off() -> None:
    """As `generate(eos_token_id=...)`; without any, there is nothing to put off."""
    model, tokens = tiny(), PROMPTS[0]
    decoder, sampling = Decoder(NoDrafter(), Target(model)), Sampling(min_new_tokens=6)
    plain = decoder.generate(tokens, Sampling(), Stop(COUNT, tokens=())).tokens[0]
    expected = generate(model, tokens, eos_token_id=plain[2], pad_token_id=0, min_new_tokens=6)[0, len(tokens) :]

    assert decoder.generate(tokens, sampling, Stop(COUNT, plain[2])).tokens[0] == tuple(expected.tolist())
    assert decoder.generate(tokens, sampling, Stop(COUNT, tokens=())).tokens[0] == plain


def test_end_tokens_are_no_bad_words() -> None:
    """As `generate` has it; where nothing else is forbidden it is an error there, and nothing here."""
    model, tokens = build("llama"), PROMPTS[0]
    end = Decoder(NoDrafter(), Target(model)).generate(tokens, stop=Stop(COUNT, tokens=())).tokens[0][3]
    with configured(model, eos_token_id=end, pad_token_id=0):
        expected = generate(model, tokens, bad_words_ids=[[end], [55]])[0, len(tokens) :].tolist()
        decoder = Decoder(NoDrafter(), Target(model))
        said = [
            decoder.generate(tokens, Sampling(bad_words_ids=words), Stop(COUNT)).tokens[0]
            for words in ([[end], [55]], [[end]])
        ]

    assert expected[-1] == end
    assert said == [tuple(expected)] * 2


def test_scores_are_normalized_last() -> None:
    """A penalty of one's own sees the model's scores, as in `generate`."""
    model, decoder = tiny(), Decoder(NoDrafter(), Target(tiny()))
    for tokens in PROMPTS:
        penalty = RepetitionPenaltyLogitsProcessor(1.5)
        expected = generate(model, tokens, logits_processor=[penalty], renormalize_logits=True, eos_token_id=None)
        sampling = Sampling(renormalize_logits=True, processors=penalty)

        assert decoder.generate(tokens, sampling, Stop(COUNT)).tokens[0] == tuple(expected[0, len(tokens) :].tolist())
