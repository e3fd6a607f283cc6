"""transformers' own generation as bench entries: what it says is its own, what is counted is right."""

from functools import cache

import pytest
import torch
from transformers import GenerationConfig

from specdec import Sampling, Target
from specdec.bench import Peer, Plan, compare
from specdec.bench.peers import LOOKUP_TOKENS
from specdec.drafters import Ngram
from specdec.errors import OptionError
from tests.plain import generate
from tests.toys import build, byte_tokenizer

PROMPTS = ["abcabcabc abcabc", "x y x y x y"]


@cache
def model(seed=1):
    return build("llama", seed=seed, dtype=torch.float32, vocab_size=len(byte_tokenizer()))


@cache
def twin():
    """An assistant that is always right, and another model."""
    return build("llama", seed=1, dtype=torch.float32, vocab_size=len(byte_tokenizer()))


def peers(target):
    return {
        "hf": Peer("hf", target),
        "hf-assisted": Peer("hf-assisted", target, assistant=twin()),
        "hf-lookup": Peer("hf-lookup", target, lookup=LOOKUP_TOKENS),
    }


def test_greedily_they_say_what_generate_says_and_plain_decoding_too():
    target = Target(model(), byte_tokenizer())
    found = compare(target, peers(target), PROMPTS, plan=Plan(max_tokens=16, repeats=1))
    expected = [tuple(generate(model(), byte_tokenizer()(text)["input_ids"], 16, Sampling())) for text in PROMPTS]

    assert [row.drafter for row in found] == ["none", "hf", "hf-assisted", "hf-lookup"]
    assert all([each.trace.tokens for each in row.runs] == expected for row in found)
    assert all(row.equal and row.figures.speedup > 0 for row in found)


def test_steps_are_passes_of_the_target():
    target, calls = Target(model(), byte_tokenizer()), []
    hook = model().register_forward_pre_hook(lambda *_: calls.append(1))
    prompt = byte_tokenizer()(PROMPTS[0])["input_ids"]
    traces = {}
    for name, peer in peers(target).items():
        calls.clear()
        traces[name] = peer.decode(prompt, Sampling(), 16)
        assert len(calls) == len(traces[name].lengths)
    hook.remove()

    assert traces["hf"].lengths == (1,) * 16
    assert all(sum(trace.lengths) == len(trace.tokens) == 16 for trace in traces.values())
    assert len(traces["hf-assisted"].lengths) < 16
    assert traces["hf-assisted"].draft > 0
    assert traces["hf"].draft == 0
    assert all(0 < trace.verify + trace.draft < trace.seconds for trace in traces.values())


def test_when_sampling_their_noise_is_another_so_that_they_are_not_compared():
    target = Target(model(), byte_tokenizer())
    found = compare(target, {"hf": Peer("hf", target)}, PROMPTS, plan=Plan((1,), 12, 2, seed=3))
    peer = found[1]

    assert peer.equal is None
    assert peer.difference is None
    assert peer.figures.speedup is None
    assert [each.trace.tokens for each in peer.runs[:2]] == [each.trace.tokens for each in peer.runs[2:]]
    assert [each.trace.tokens for each in peer.runs] != [each.trace.tokens for each in found[0].runs]


def test_they_leave_the_random_numbers_of_the_process_alone():
    target = Target(model(), byte_tokenizer())
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    Peer("hf", target).decode([1, 2, 3], Sampling(1.0), 4)

    assert torch.equal(torch.rand(3), expected)


def test_an_assistants_weights_are_counted():
    target = Target(model(), byte_tokenizer())

    assert [peer.parameters for peer in peers(target).values()] == [0, model().num_parameters(), 0]


def test_a_lookup_of_nothing_is_refused():
    with pytest.raises(OptionError, match="hf-lookup to look up at least 1 token, got 0"):
        Peer("hf-lookup", Target(model()), lookup=0)


CONFIGS = [
    {"repetition_penalty": 1.3},
    {"no_repeat_ngram_size": 2, "suppress_tokens": [3, 4, 5]},
    {"do_sample": True, "top_k": 20, "temperature": 0.7, "repetition_penalty": 1.6},
    {"min_new_tokens": 9, "eos_token_id": [7, 8, 9], "pad_token_id": 0},
    {"forced_eos_token_id": 5, "eos_token_id": 5, "pad_token_id": 0},
]


@pytest.mark.parametrize("options", CONFIGS, ids=str)
def test_a_models_generation_config_is_followed_by_all_alike(options):
    own = build("llama", seed=1, dtype=torch.float32, vocab_size=len(byte_tokenizer()))
    own.generation_config = GenerationConfig(**options)
    target, config = Target(own, byte_tokenizer()), own.generation_config
    drafters = {"ngram": Ngram(), "hf": Peer("hf", target), "hf-assisted": Peer("hf-assisted", target, twin())}
    found = compare(target, drafters, PROMPTS, plan=Plan(max_tokens=12, repeats=1))
    plain = compare(Target(model(), byte_tokenizer()), {}, PROMPTS, plan=Plan(max_tokens=12, repeats=1))

    assert all(row.equal for row in found)
    assert [run.trace.tokens for run in found[0].runs] != [run.trace.tokens for run in plain[0].runs]
    assert own.generation_config is config
