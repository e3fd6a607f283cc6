"""The text of a sequence is what its tokenizer decodes, for every decoder and however tokens are cut into steps."""

import random
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from specdec import Decoder, Sampling, Stop, Target
from specdec.drafters import NoDrafter, SmallModel
from specdec.policies import Chain
from specdec.testing import toy_model
from specdec.text import TextStream
from tests.specdec.tokenizers_of_all_kinds import MAKERS, tokenizer_of

KINDS = pytest.mark.parametrize("kind", MAKERS)
IDS = st.integers(0, 10**6)


def decode(tokenizer: PreTrainedTokenizerBase, tokens: list[int]) -> str:
    return tokenizer.decode(tokens, skip_special_tokens=True)


def gained(tokenizer: PreTrainedTokenizerBase, prompt: list[int], tokens: list[int]) -> str:
    """What decoding prompt and tokens together gives after what it gives of the prompt."""
    before, after = decode(tokenizer, prompt), decode(tokenizer, prompt + tokens)
    same = next((place for place, pair in enumerate(zip(before, after, strict=False)) if len(set(pair)) > 1), None)
    return after[min(len(before), len(after)) if same is None else same :]


def streamed(tokenizer: PreTrainedTokenizerBase, prompt: list[int], tokens: list[int], cuts: list[int]) -> list[str]:
    stream = TextStream(tokenizer, prompt)
    places = [0, *sorted(cut for cut in cuts if cut < len(tokens)), len(tokens)]
    return [stream.add(tokens[start:end], end == len(tokens)) for start, end in pairwise(places)]


@KINDS
@given(st.lists(IDS, max_size=40), st.lists(IDS, min_size=1, max_size=90), st.lists(st.integers(1, 90)))
@example(list(range(1, 10)), list(range(1, 90)), list(range(1, 90)))
def test_text_is_what_decoding_prompt_and_tokens_together_gives(
    kind: str, prompt: list[int], tokens: list[int], cuts: list[int]
) -> None:
    tokenizer = tokenizer_of(kind)
    prompt, tokens = ([token % (len(tokenizer) + 1) for token in part] for part in (prompt, tokens))

    assert "".join(streamed(tokenizer, prompt, tokens, cuts)) == gained(tokenizer, prompt, tokens)


@KINDS
@pytest.mark.parametrize("seed", range(3))
def test_long_texts_too(kind: str, seed: int) -> None:
    """Token by token; some tokens come in long runs, special ones and bytes too."""
    tokenizer, rng = tokenizer_of(kind), random.Random(seed)
    tokens = [token for _ in range(60) for token in [rng.randrange(len(tokenizer))] * rng.choice([1, 1, 1, 2, 40])]
    tokens += [rng.randrange(len(tokenizer)) for _ in range(600)]
    prompt, rest = tokens[:200], tokens[200:]

    assert "".join(streamed(tokenizer, prompt, rest, list(range(len(rest))))) == gained(tokenizer, prompt, rest)


@pytest.mark.parametrize("kind", ["pieces, as Llama 2", "metaspace, as T5", "word pieces, as BERT"])
def test_the_blank_before_the_first_word_belongs_to_the_text(kind: str) -> None:
    """Also after a step that was a special token alone, and after a prompt that ends with one."""
    tokenizer = tokenizer_of(kind)
    the, cat, tool = tokenizer.convert_tokens_to_ids(
        ["the", "cat", "<|tool|>"] if "word" in kind else ["\u2581the", "\u2581cat", "<|tool|>"]
    )

    assert streamed(tokenizer, [the], [cat], []) == [" cat"]
    assert streamed(tokenizer, [the, tool], [cat, tool, cat], [1, 2]) == [" cat", "", " cat"]
    assert streamed(tokenizer, [tool], [cat, cat], [1]) == ["cat", " cat"]


def test_a_character_that_the_prompt_began_is_given_whole() -> None:
    tokenizer = tokenizer_of("bytes, as GPT-2")
    tokens = tokenizer("a€b")["input_ids"]

    assert streamed(tokenizer, tokens[:3], tokens[3:], [1]) == ["€", "b"]


def test_a_piece_comes_with_its_token_but_for_what_may_still_change() -> None:
    llama = tokenizer_of("pieces, as Llama 2")
    tokens = llama.convert_tokens_to_ids(["\u2581cat", "<0xC3>", "<0xA9>", "<|tool|>", "\u2581the"])
    assert streamed(llama, [], tokens, [1, 2, 3, 4]) == ["cat", "", "", "", "é the"]

    gpt2 = tokenizer_of("bytes, as GPT-2")
    assert streamed(gpt2, [], gpt2("xaéy")["input_ids"], [2, 3, 4]) == ["xa", "", "é", "y"]

    bert = tokenizer_of("word pieces, cleaned up")
    tokens = bert.convert_tokens_to_ids(["the", "cat", "n't", ".", "a"])
    assert streamed(bert, [], tokens, [1, 2, 3, 4]) == ["", "the", " cat", "n't", ". a"]


@KINDS
def test_a_step_decodes_a_few_tokens_of_a_long_text(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, lengths = tokenizer_of(kind), list[int]()
    whole = type(tokenizer).decode

    def decode(self: PreTrainedTokenizerBase, tokens: list[int], **options: object) -> str:
        lengths.append(len(tokens))
        return whole(self, tokens, **options)

    rng = random.Random(0)
    visible = [token for token in range(len(tokenizer)) if tokenizer.decode([token], skip_special_tokens=True).strip()]
    visible = [token for token in visible if "<0x" not in str(tokenizer.convert_ids_to_tokens(token))]
    stream = TextStream(tokenizer, [rng.choice(visible) for _ in range(3000)])
    monkeypatch.setattr(type(tokenizer), "decode", decode)
    for _ in range(1000):
        stream.add([rng.choice(visible)], False)

    assert sum(lengths) < 100 * 1000


@pytest.mark.parametrize("kind", ["pieces, as Llama 2", "word pieces, cleaned up"])
def test_text_is_the_same_whoever_drafts(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    model, prompts = toy_model(len(tokenizer)), [[4, 5, 6], [7, 8, 2]]
    for seed in range(4):
        sampling, stop = Sampling(temperature=1.0, seed=seed), Stop(24, tokens=())
        plain = Decoder(NoDrafter(), Target(model, tokenizer)).generate(prompts, sampling, stop)
        fast = Decoder(SmallModel(model), Target(model, tokenizer), Chain(5)).generate(prompts, sampling, stop)

        assert fast.text == plain.text
        assert plain.text == tuple(
            gained(tokenizer, prompt, list(tokens)) for prompt, tokens in zip(prompts, plain.tokens, strict=True)
        )
