"""What people write at first, and what they are told."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import specdec_zoo
import torch
from jaxtyping import config
from transformers import MinLengthLogitsProcessor

from specdec import Decoder, Sampling, Stop, Target, load_drafter, load_policy
from specdec.drafters import Ngram, NoDrafter, SmallModel
from specdec.errors import ModelError, OptionError
from specdec.policies import Chain
from specdec.rules import Match
from specdec.target.loading import load_model, load_tokenizer
from tests.plain import decode_plainly
from tests.toys import RAGGED, build, byte_tokenizer, tiny


@pytest.fixture(autouse=True)
def as_a_user_calls() -> Iterator[None]:
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


def decoder() -> Decoder:
    return Decoder(NoDrafter(), Target(tiny()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: decoder().generate([1], Stop(8)), r"expected a Sampling before the Stop; got Stop\(max_tokens=8"),
        (lambda: decoder().stream([1], Stop(8)), "expected a Sampling before the Stop"),
        (lambda: decoder().generate([1], {"temperature": 1}), "expected a Sampling, as .*; got {'temperature': 1}"),
        (lambda: decoder().generate([1], 0.7), "expected a Sampling, as .*; got 0.7"),
        (lambda: decoder().generate([1], None), "expected a Sampling, as .*; got None"),
        (lambda: decoder().generate([[1]], [None]), r"expected a Sampling, as .*; got \[None\]"),
        (lambda: decoder().generate([1], stop="x"), "expected a Stop, as .*; got 'x'"),
        (lambda: decoder().generate([1], stop=8), "expected a Stop, as .*; got 8"),
        (lambda: decoder().generate([1], stop=["x"]), r"expected a Stop, as .*; got \['x'\]"),
        (lambda: decoder().generate([[1]], stop=[Stop(3)] * 2), "expected a stop for each of 1 prompts, got 2"),
        (lambda: Decoder("ngram", Target(tiny())), "expected a drafter, as load_drafter makes, got 'ngram'"),
        (lambda: Decoder(NoDrafter, Target(tiny())), "expected a drafter, .* got <class"),
        (lambda: Decoder(Target(tiny()), NoDrafter()), r"expected a drafter, .* got Target\("),
        (lambda: Decoder(NoDrafter(), tiny()), "expected a verifier, such as a Target, got LlamaForCausalLM"),
        (lambda: Decoder(NoDrafter(), "path"), "expected a verifier, such as a Target, got 'path'"),
        (lambda: Decoder(NoDrafter(), Target(tiny()), "chain"), "expected a policy, as load_policy makes, .* 'chain'"),
        (lambda: Decoder(NoDrafter(), Target(tiny()), tokenizer="gpt2"), "expected a tokenizer of tr.*, got 'gpt2'"),
        (lambda: Decoder(NoDrafter(), Target(tiny()), chance=5), "expected a Chance, or None, got 5"),
        (lambda: Decoder(NoDrafter(), Target(tiny()), observers=5), "expected a list of observers, got 5"),
        (lambda: Decoder(NoDrafter(), torch.nn.Sequential(tiny())), "got Sequential$"),
        (lambda: Target(tiny(), "gpt2"), "expected a tokenizer of transformers, or None, got 'gpt2'"),
        (lambda: Target(tiny(), rule="match"), "expected a rule, as load_rule makes, or None, got 'match'"),
        (lambda: Target(tiny(), rule=Match), "expected a rule, .* got <class"),
        (lambda: Target.from_pretrained(None), "expected a folder, a GGUF file, or a name on the hub, got None"),
        (lambda: Target.from_pretrained(tiny()), "expected a folder, .* got LlamaForCausalLM$"),
        (
            lambda: load_model(specdec_zoo.path("draft"), dtype="float23"),
            "options that transformers takes, got {'dtype': 'float23'}",
        ),
        (lambda: load_tokenizer(7), "expected a folder, .* got 7"),
        (lambda: load_drafter(Ngram()), r"expected NAME\[:PATH\].*, got Ngram\("),
        (lambda: load_drafter("small_model", tiny()), "expected a folder, .* got LlamaForCausalLM$"),
        (lambda: load_policy(Chain(3)), r"expected NAME\[:PATH\].*, got Chain\("),
        (lambda: load_policy(None), r"expected NAME\[:PATH\].*, got None"),
        (lambda: Stop(tokens=[None]), r"token ids, got \[None\]"),
        (lambda: Stop(tokens="ab"), "token ids, got 'ab'"),
        (lambda: Stop(tokens=-1), "token ids, got -1"),
        (lambda: Stop(tokens=[1.5]), r"token ids, got \[1.5\]"),
        (lambda: Stop(tokens=True), "token ids, got True"),
        (lambda: Stop(strings=b"x"), "text, got b'x'|list of texts, got b'x'"),
        (lambda: Stop(strings=["x", 1]), "list of texts, got"),
        (lambda: Stop(strings=5), "list of texts, got 5"),
        (lambda: Stop(True), "max_tokens that is a whole number, got True"),
        (lambda: Stop(torch.tensor([1, 2])), "max_tokens that is a whole number, got tensor"),
        (lambda: Sampling(temperature=torch.tensor([0.5])), "temperature that is a number, got tensor"),
        (lambda: Sampling(top_k=np.float64(2.0)), "top_k that is a whole number, got"),
        (lambda: Sampling(processors="greedy"), "logits processors, got 'greedy'"),
        (lambda: Sampling(processors=[None]), r"logits processors, got \[None\]"),
        (lambda: Sampling(bad_words_ids=[[]]), r"lists of token ids, got \[\[\]\]"),
        (lambda: Sampling(bad_words_ids=["x"]), "lists of token ids, got"),
        (lambda: Sampling(suppress_tokens=["x"]), "token ids, got"),
        (lambda: Sampling(sequence_bias=[[1, 2, 3]]), "pairs of token ids and a number, got"),
        (lambda: Sampling(sequence_bias={(1,): "x"}), "pairs of token ids and a number, got"),
        (lambda: Sampling(sequence_bias={(1,): float("nan")}), "a number below infinity, got nan"),
        (lambda: Sampling(sequence_bias={(1,): float("inf")}), "a number below infinity, got inf"),
        (lambda: Sampling(exponential_decay_length_penalty=(1, float("nan"))), "a number below infinity, got nan"),
        (lambda: Sampling(exponential_decay_length_penalty=3), "a number of tokens and a factor, got 3"),
        (lambda: Sampling(no_repeat_ngram_size=-1), "no_repeat_ngram_size of at least 0, got -1"),
        (lambda: Sampling(typical_p=0), "typical_p above 0 and at most 1, got 0"),
        (lambda: Sampling(remove_invalid_values="yes"), "remove_invalid_values to be True or False, got 'yes'"),
        (lambda: Sampling(suppress_tokens=[3], forced_eos_token_id=3), "options that transformers can follow, got"),
        (lambda: decoder().generate([1], Sampling(bad_words_ids=[[56]])), "token ids from 0 to 55, got 56"),
        (lambda: decoder().generate([1], Sampling(sequence_bias={(1, 99): 2.0})), "token ids from 0 to 55, got 99"),
        (lambda: decoder().generate([1], Sampling(forced_bos_token_id=77)), "token ids from 0 to 55, got 77"),
    ],
)
def test_what_means_nothing_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        call()


@pytest.mark.parametrize(
    ("given", "same"),
    [
        (lambda: Stop(np.int64(6), tokens=5), Stop(6, tokens=(5,))),
        (lambda: Stop(torch.tensor(6), tokens=torch.tensor([5, 7])), Stop(6, tokens=(5, 7))),
        (lambda: Stop(6, tokens=np.int64(0)), Stop(6, tokens=(0,))),
        (lambda: Stop(6, tokens=np.array([5])), Stop(6, tokens=(5,))),
        (lambda: Stop(6, tokens={5}), Stop(6, tokens=(5,))),
        (lambda: Stop(6, tokens=[], strings=None), Stop(6, tokens=())),
        (lambda: Stop(strings="x"), Stop(strings=("x",))),
        (lambda: Sampling(np.float64(0.5), np.int64(5), np.float64(0.5)), Sampling(0.5, 5, 0.5)),
        (lambda: Sampling(np.float32(0.5), seed=np.uint64(2**63)), Sampling(0.5, seed=2**63)),
        (lambda: Sampling(torch.tensor(0.5), torch.tensor(5)), Sampling(0.5, 5)),
        (lambda: Sampling(0, remove_invalid_values=np.bool_(True)), Sampling(0, remove_invalid_values=True)),
        (lambda: Sampling(suppress_tokens=np.array([3, 4])), Sampling(suppress_tokens=[3, 4])),
        (lambda: Sampling(bad_words_ids=[torch.tensor([3, 4])]), Sampling(bad_words_ids=[[3, 4]])),
        (lambda: Sampling(sequence_bias={(3, 4): 1}), Sampling(sequence_bias=[[[3, 4], 1.0]])),
        (lambda: Sampling(processors=None), Sampling()),
    ],
)
def test_numbers_of_other_libraries_are_numbers(given: Callable[[], Any], same: object) -> None:
    assert given() == same
    assert hash(given()) == hash(same)
    assert repr(given()) == repr(same)


def test_one_processor_needs_no_list() -> None:
    processor = MinLengthLogitsProcessor(3, 0)

    assert Sampling(processors=processor) == Sampling(processors=[processor])


def test_each_sequence_may_have_its_own_stop() -> None:
    tokenizer = byte_tokenizer()
    model = build("llama", vocab_size=len(tokenizer))
    alone = [decode_plainly(model, tuple(prompt), Sampling(), 12) for prompt in RAGGED[:4]]
    string = tokenizer.decode([alone[2][3]])
    stops = [Stop(3, tokens=()), Stop(9, tokens=alone[1][5]), Stop(12, (), string), Stop(12, ())]
    texts = Decoder(NoDrafter(), Target(model, tokenizer)).generate(RAGGED[:4], stop=stops).tokens

    assert texts == (alone[0][:3], alone[1][: alone[1].index(alone[1][5]) + 1], texts[2], alone[3])
    assert string in tokenizer.decode(list(texts[2]))
    assert len(texts[2]) <= 4


def test_decoders_and_targets_say_what_they_are() -> None:
    target = Target(tiny())

    assert repr(target) == "Target(LlamaForCausalLM, 56 tokens, 128 positions, torch.float64 on cpu, Match())"
    assert repr(Decoder(NoDrafter(), target, Chain(3))) == f"Decoder(NoDrafter(), {target!r}, {Chain(3)!r})"
    assert repr(Ngram()) == "Ngram(longest=3, shortest=1)"
    assert repr(SmallModel(tiny())) == "SmallModel(LlamaForCausalLM)"


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2"])
def test_a_folder_without_a_tokenizer_says_what_would_do(kind: str, tmp_path: Path) -> None:
    """Also where transformers makes a tokenizer of nothing but special tokens."""
    tiny(kind).save_pretrained(tmp_path)

    with pytest.raises(ModelError, match=r"no tokenizer can be loaded from .*; for token ids, Target\(load_model\("):
        Target.from_pretrained(tmp_path)
