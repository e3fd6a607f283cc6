"""What cannot be used is refused by its own error, which names the value; nothing half-done is left."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, T5Config, T5ForConditionalGeneration

from specdec import (
    Context,
    Decoder,
    Drafter,
    Sampling,
    Stop,
    Target,
    Tree,
    TreePolicy,
    load_drafter,
    load_policy,
    load_rule,
    load_transport,
    load_verifier,
)
from specdec.drafters import Ngram, NoDrafter, SmallModel
from specdec.errors import (
    InputError,
    NonFiniteLogits,
    OptionError,
    PromptError,
    SpecdecError,
    TreeError,
    UnknownName,
    UnsupportedModel,
    VocabularyMismatch,
)
from specdec.policies import Adaptive, Chain, Dynamic, Sequoia, Static
from tests.plain import decode_plainly
from tests.toys import RAGGED, VOCAB, build, byte_tokenizer, tiny

GOOD = [1, 2, 3]


def still_decodes(decoder: Decoder) -> bool:
    """Whether what is left of a failure says what it always said."""
    said = decoder.generate([GOOD, RAGGED[0]], Sampling(), Stop(5, tokens=())).tokens
    return said == tuple(decode_plainly(tiny(), tuple(prompt), Sampling(), 5) for prompt in (GOOD, RAGGED[0]))


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([], "at least one token, got|at least one prompt, got none"),
        ([[]], r"at least one token, got \[\]"),
        ([GOOD, []], r"at least one token, got \[\]"),
        ([GOOD, [1, -1]], "prompt 1 to be 0 to 55, got -1"),
        ([[1, VOCAB], GOOD], "prompt 0 to be 0 to 55, got 56"),
        ([[10**9]], "got 1000000000"),
        ([GOOD, [1] * 200], "prompt 1 .* 128 positions, got 200 tokens"),
        ("text", "token ids, for there is no tokenizer; got 'text'"),
        ([{"role": "user", "content": "text"}], "no tokenizer"),
    ],
)
def test_prompts_that_cannot_be_used(prompts: Any, message: str) -> None:
    decoder = Decoder(SmallModel(tiny()), Target(tiny()))
    with pytest.raises(PromptError, match=message):
        decoder.generate(prompts, Sampling(), Stop(5, tokens=()))

    assert still_decodes(decoder)


def test_bad_prompts_are_refused_before_anything_is_decoded() -> None:
    """When `stream` is called, not when its first step is asked for."""
    with pytest.raises(PromptError):
        Decoder(NoDrafter(), Target(tiny())).stream([[99]])


def test_an_empty_text_is_an_empty_prompt() -> None:
    decoder = Decoder(NoDrafter(), Target(build("llama", vocab_size=len(byte_tokenizer())), byte_tokenizer()))

    with pytest.raises(PromptError, match="at least one token, got ''"):
        decoder.generate("")


@pytest.mark.parametrize(("length", "count"), [(3, 126), (127, 2), (128, 1), (128, None), (200, None)])
def test_requests_longer_than_the_models_positions(length: int, count: int | None) -> None:
    """Prompt and answer must fit together; both numbers are named."""
    decoder = Decoder(NoDrafter(), Target(tiny()))
    with pytest.raises(PromptError, match=f"128 positions, got {length} tokens and {count or 1} to generate"):
        decoder.generate([1] * length, Sampling(), Stop(count))

    assert still_decodes(decoder)


def test_requests_that_just_fit_the_models_positions() -> None:
    said = Decoder(SmallModel(tiny()), Target(tiny())).generate([[1] * 120, GOOD], Sampling(), Stop(8, tokens=()))

    assert [len(row) for row in said.tokens] == [8, 8]


def test_a_draft_model_with_fewer_positions_than_are_asked_for() -> None:
    decoder = Decoder(SmallModel(build("llama", max_position_embeddings=16)), Target(tiny()))
    stream = decoder.stream(GOOD, Sampling(), Stop(8))
    next(stream)
    with pytest.raises(PromptError, match="the 16 positions of SmallModel, got a limit of 23"):
        decoder.generate(GOOD, Sampling(), Stop(20))
    assert list(stream)  # the stream that was there continues

    assert still_decodes(decoder)


def test_a_draft_model_with_another_vocabulary() -> None:
    with pytest.raises(VocabularyMismatch, match="56 tokens, got SmallModel with 57"):
        Decoder(SmallModel(build("llama", vocab_size=57)), Target(tiny()))


@pytest.mark.parametrize(
    ("load", "kind"),
    [
        (load_drafter, "drafter"),
        (load_policy, "policy"),
        (load_rule, "rule"),
        (load_verifier, "verifier"),
        (lambda name: load_transport(name, "here"), "transport"),
    ],
)
def test_unknown_names_list_the_known_ones(load: Callable[[str], object], kind: str) -> None:
    with pytest.raises(UnknownName, match=f"no {kind} is called 'eagel'; there are: ") as caught:
        load("eagel")

    assert isinstance(caught.value, LookupError)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: load_policy("chain", lenght=3), "policy 'chain' has no option 'lenght'; there are: length, sampled"),
        (lambda: load_rule("match", x=1), "rule 'match' has no option 'x'; there are: none"),
        (lambda: load_drafter("ngram", longst=3), "drafter 'ngram' has no option 'longst'"),
        (lambda: load_drafter("ngram", "some/path"), "'ngram' takes no path, got 'some/path'"),
        (lambda: Sampling(temperature=-0.1), "temperature of at least 0.*, got -0.1"),
        (lambda: Sampling(temperature=float("nan")), "temperature .*, got nan"),
        (lambda: Sampling(temperature=float("inf")), "temperature .*, got inf"),
        (lambda: Sampling(top_k=0), "top_k of at least 1, got 0"),
        (lambda: Sampling(top_p=0.0), "top_p above 0 and at most 1, got 0"),
        (lambda: Sampling(top_p=1.1), "top_p above 0 and at most 1, got 1.1"),
        (lambda: Sampling(min_p=-0.5), "min_p of at least 0 and at most 1, got -0.5"),
        (lambda: Sampling(repetition_penalty=0.0), "repetition_penalty above 0.*, got 0"),
        (lambda: Sampling(temperature=None), "temperature that is a number, got None"),
        (lambda: Sampling(temperature="1"), "temperature that is a number, got '1'"),
        (lambda: Sampling(top_k=2.5), "top_k that is a whole number, got 2.5"),
        (lambda: Sampling(seed=1.5), "seed that is a whole number, got 1.5"),
        (lambda: Sampling(seed=-1), "seed of at least 0.*, got -1"),
        (lambda: Sampling(seed=2**64), "seed .*, got 18446744073709551616"),
        (lambda: Stop(0), "max_tokens of at least 1, got 0"),
        (lambda: Stop(strings=["x", ""]), "at least one character, got ''"),
        (lambda: Chain(0), "length of at least 1, got 0"),
        (lambda: Static((2, 0)), r"at least 1 child each, got \(2, 0\)"),
        (lambda: Static("4xtwo"), "levels such as 4x2x1, got '4xtwo'"),
        (lambda: Dynamic(depth=0), "depth of at least 1, got 0"),
        (lambda: Dynamic(width=-2), "width of at least 1, got -2"),
        (lambda: Dynamic(size=0), "size of at least 1, got 0"),
        (lambda: Adaptive(gain=-1.0), "gain of at least 0, got -1"),
        (lambda: Adaptive(gain="much"), "gain that is a number, got 'much'"),
        (lambda: Adaptive(sharpness=0.0), "sharpness above 0, got 0"),
        (lambda: Adaptive(sharpness="much"), "sharpness that is a number, got 'much'"),
        (lambda: Dynamic(sharpness=float("inf")), "sharpness above 0, got inf"),
        (lambda: Sequoia((0, 0)), r"growth map .*, got \(0, 0\)"),
        (lambda: Sequoia((-1, 2, 1)), "growth map"),
        (lambda: Sequoia.fitted(size=0), "got 0, 6"),
        (lambda: Sequoia.fitted(rates=(0.9, 0.9)), r"got 16, 6, \(0.9, 0.9\)"),
        (lambda: Ngram(longest=1, shortest=2), "got 2 and 1"),
        (lambda: Ngram(shortest=-1), "shortest of at least 0, got -1"),
        (lambda: Ngram(longest=2.5), "longest that is a whole number, got 2.5"),
        (lambda: Ngram(shortest=0.5), "shortest that is a whole number, got 0.5"),
        (lambda: Static((2.9,)), r"levels such as 4x2x1, got \(2.9,\)"),
        (lambda: Static(2.9), "levels such as 4x2x1, got 2.9"),
        (lambda: Sequoia((-1, 0.9)), r"growth map of whole numbers, got \(-1, 0.9\)"),
    ],
)
def test_options_that_mean_nothing(make: Callable[[], object], message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        make()

    assert isinstance(caught.value, InputError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("given", [[], [0], [0, 1, 2]])
def test_a_drafter_gives_trees_to_the_sequences_that_are_not_done(given: list[int]) -> None:
    """A tree for one that is done would continue its text after its end, and without one its text would stop."""

    class Careless(Drafter):
        def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
            return [Tree.root(row[-1]) if number in given else None for number, row in enumerate(context.tokens)]

    prompts = [GOOD, RAGGED[0], RAGGED[1]]
    ends = [decode_plainly(tiny(), tuple(prompt), Sampling(), 1)[0] for prompt in prompts]
    stream = Decoder(Careless(), Target(tiny())).stream(prompts, Sampling(), Stop(9, tokens=ends[:1]))
    with pytest.raises(TreeError, match=r"Careless to give a tree for sequences \[.*, got trees for"):
        list(stream)


def test_not_as_many_samplings_as_prompts() -> None:
    with pytest.raises(OptionError, match="each of 2 prompts, got 3"):
        Decoder(NoDrafter(), Target(tiny())).generate([GOOD, GOOD], [Sampling()] * 3)


def test_stop_strings_without_a_tokenizer() -> None:
    with pytest.raises(OptionError, match=r"stop strings \('end',\) with, got none"):
        Decoder(NoDrafter(), Target(tiny())).generate(GOOD, Sampling(), Stop(5, strings="end"))


SMALL = {"vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": 2, "pad_token_id": None, "bos_token_id": None}
BART = {"vocab_size": VOCAB, "d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 48}
HEADS = SMALL | {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48, "head_dim": 8}


def causal(kind: str, **options: Any) -> PreTrainedModel:
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **options)).eval()


def with_flash_attention() -> PreTrainedModel:
    model = build("llama")
    model.config._attn_implementation = "flash_attention_2"
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: causal("mamba", **SMALL, state_size=4), "MambaForCausalLM with .*: rejected tokens cannot be taken"),
        (lambda: causal("mamba2", **SMALL, state_size=4, num_heads=8, head_dim=8, n_groups=1), "Mamba2ForCausalLM"),
        (
            lambda: causal("recurrent_gemma", **HEADS, lru_width=32, attention_window_size=8),
            "RecurrentGemmaForCausalLM",
        ),
        (
            lambda: causal("qwen3_next", **HEADS, num_experts=2, num_experts_per_tok=1, moe_intermediate_size=16),
            "Qwen3NextForCausalLM with conv_states, recurrent_states in layer 0",
        ),
        (lambda: causal("falcon", **SMALL, num_attention_heads=4, alibi=True), "FalconForCausalLM, which raised"),
        (lambda: causal("bloom", **SMALL, n_head=4), "takes position_ids, got BloomForCausalLM"),
        (
            lambda: causal("mpt", vocab_size=VOCAB, d_model=32, n_layers=2, n_heads=4),
            "takes position_ids, got MptForCausalLM",
        ),
        (
            lambda: causal("bart", **BART, is_encoder_decoder=False, is_decoder=True),
            "takes position_ids, got BartForCausalLM",
        ),
        (
            lambda: causal("gpt_neo", hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["local"], 2]]),
            "masks of their own but causal ones, got GPTNeoForCausalLM",
        ),
        (lambda: build("llama").to("meta"), "with weights, got LlamaForCausalLM on the meta device"),
        (lambda: build("llama").model, "causal language model, got LlamaModel, which has no output head"),
        (lambda: torch.nn.Linear(2, 2), "causal language model of transformers, got Linear"),
        (
            lambda: T5ForConditionalGeneration(
                T5Config(vocab_size=VOCAB, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4)
            ),
            "T5ForConditionalGeneration, which has an encoder",
        ),
        (with_flash_attention, "sdpa or eager or .* got flash_attention_2; load LlamaForCausalLM with"),
    ],
    ids=[
        "mamba",
        "mamba2",
        "recurrent_gemma",
        "qwen3_next",
        "falcon",
        "bloom",
        "mpt",
        "bart",
        "gpt_neo",
        "meta",
        "headless",
        "linear",
        "t5",
        "flash",
    ],
)
@pytest.mark.parametrize("use", [Target, SmallModel])
def test_models_that_cannot_read_trees(make: Callable[[], PreTrainedModel], message: str, use: Any) -> None:
    with pytest.raises(UnsupportedModel, match=message):
        use(make())


def test_every_error_is_a_specdec_error() -> None:
    """One `except` catches what specdec raises on purpose."""
    for error in (PromptError, OptionError, UnknownName, UnsupportedModel, VocabularyMismatch, NonFiniteLogits):
        assert issubclass(error, SpecdecError)
