"""Text in and out: never half a character, and in one piece what it is in many."""

import gc
import weakref
from copy import deepcopy
from itertools import pairwise
from threading import Thread
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import StopStringCriteria

from specdec import Decoder, Sampling, Step, Stop, Target, ends
from specdec.drafters import NoDrafter, SmallModel
from specdec.ends import Ends
from specdec.errors import OptionError
from specdec.policies import Chain
from specdec.text import TextStream, batch, encode
from tests.specdec.contexts import context_of
from tests.toys import build, byte_tokenizer

TEXTS = st.text("abcxy é€😀", max_size=20)
BAD = "\N{REPLACEMENT CHARACTER}"


def streamed(tokens: list[int], cuts: list[int]) -> list[str]:
    """Feed tokens in pieces that end at these places."""
    stream, pieces = TextStream(byte_tokenizer()), []
    places = [0, *sorted({cut for cut in cuts if 0 < cut < len(tokens)}), len(tokens)]
    for start, end in pairwise(places):
        pieces.append(stream.add(tokens[start:end], last=end == len(tokens)))
    return pieces


@given(TEXTS.filter(bool), st.lists(st.integers(1, 60)))
def test_pieces_join_to_the_text_and_split_no_character(text: str, cuts: list[int]) -> None:
    """Characters of two, three and four tokens, cut anywhere."""
    tokens = byte_tokenizer()(text)["input_ids"]
    pieces = streamed(tokens, cuts)

    assert "".join(pieces) == text
    assert not any(BAD in piece for piece in pieces)


@given(st.lists(st.integers(0, len(byte_tokenizer()) - 1), min_size=1, max_size=30), st.lists(st.integers(1, 30)))
def test_bytes_that_make_no_character_come_out_in_the_end(tokens: list[int], cuts: list[int]) -> None:
    """Any tokens at all: what is streamed is what decoding them at once gives."""
    assert "".join(streamed(tokens, cuts)) == byte_tokenizer().decode(tokens)


def test_the_text_of_a_run_is_that_of_its_tokens() -> None:
    """Each sequence's, over the steps of a stream."""
    tokenizer = byte_tokenizer()
    for seed in range(4):
        model = build("llama", seed=seed, vocab_size=len(tokenizer))
        decoder = Decoder(SmallModel(model), Target(model, tokenizer), Chain(3))
        said = decoder.generate(["abc é", "x", "€😀€😀"], Sampling(1.0, seed=seed), Stop(24, tokens=()))

        assert said.text == tuple(tokenizer.decode(list(tokens)) for tokens in said.tokens)


@given(st.text("abcxy", min_size=1, max_size=5), st.text("abcxy", max_size=8), st.text("abcxy", min_size=1, max_size=8))
def test_stop_strings_cut_where_transformers_would(stop: str, before: str, after: str) -> None:
    """At the first token with which the text, prompt included, ends in the string or goes past its end."""
    tokenizer = byte_tokenizer()
    history = tokenizer(before)["input_ids"] or [0]
    tokens = tokenizer(after)["input_ids"]
    criterion = StopStringCriteria(tokenizer, [stop])
    ends = [
        place
        for place in range(len(tokens))
        if criterion(torch.tensor([[*history, *tokens[: place + 1]]]), torch.empty(0))[0]
    ]
    step = Step([tokens], [len(tokens) - 1])
    cut, done = Ends(Stop(strings=stop), (), tokenizer).cut(context_of([history]), step)
    length = ends[0] + 1 if ends else len(tokens)

    assert cut.tokens == [tokens[:length]]
    assert done == [bool(ends)]
    assert cut.accepted == [min(len(tokens) - 1, length)]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.integers(1, 8), st.sets(st.integers(0, 4), max_size=2))
def test_the_first_end_counts_whichever_it_is(tokens: list[int], room: int, stops: set[int]) -> None:
    step = Step([tokens], [len(tokens) - 1])
    cut, done = Ends(Stop(tokens=sorted(stops)), (), None).cut(context_of([[1, 1]], room - 1), step)
    places = [place + 1 for place, token in enumerate(tokens) if token in stops and place < room]
    expected = min([*places, room, len(tokens)])

    assert cut.tokens == [tokens[:expected]]
    assert done == [expected == room or expected in places]


def test_sequences_that_are_done_stay_done() -> None:
    """Each sequence by its own end."""
    step = Step([[], [4, 4, 9, 4, 4, 4], [4, 4, 4, 9, 4]], [0, 5, 2])
    cut, done = Ends(Stop(tokens=[9]), (), None).cut(context_of([[1], [2], [3]], done=(0,)), step)

    assert cut.tokens == [[], [4, 4, 9], [4, 4, 4, 9]]
    assert cut.accepted == [0, 3, 2]
    assert done == [True] * 3


def test_one_prompt_or_several() -> None:
    messages = [{"role": "user", "content": "hello"}]

    assert batch("text") == ["text"]
    assert batch([1, 2]) == [[1, 2]]
    assert batch(messages) == [messages]
    assert batch(["a", "b"]) == ["a", "b"]
    assert batch([[1], [2, 3]]) == [[1], [2, 3]]
    assert batch([messages, messages]) == [messages, messages]


def test_text_becomes_a_message_where_there_is_a_chat_template() -> None:
    tokenizer = byte_tokenizer()
    template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}>{% endif %}"
    )
    plain = tokenizer("abc")["input_ids"]
    assert encode("abc", tokenizer) == plain
    tokenizer.chat_template = template
    try:
        chat = encode("abc", tokenizer)
        several = encode([{"role": "system", "content": "x"}, {"role": "user", "content": "y"}], tokenizer)
    finally:
        tokenizer.chat_template = None

    assert tokenizer.decode(chat) == "<user>abc>"
    assert tokenizer.decode(several) == "<system>x<user>y>"


@pytest.mark.parametrize("prompt", ["abc", [0, 1, 2]])
def test_text_and_tokens_ask_for_the_same(prompt: object) -> None:
    tokenizer = byte_tokenizer()
    model = build("llama", vocab_size=len(tokenizer))
    tokens = tokenizer("abc")["input_ids"] if prompt == "abc" else prompt
    decoder = Decoder(NoDrafter(), Target(model, tokenizer))

    assert decoder.generate(prompt, Sampling(), Stop(4)) == decoder.generate(tokens, Sampling(), Stop(4))  # type: ignore[arg-type]


def test_threads_prepare_stop_strings_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one of them drops the oldest, another one that is let in would drop it too."""
    tokenizer = deepcopy(byte_tokenizer())
    other = Thread(target=lambda: Ends(Stop(strings="other"), (), tokenizer))

    class Slow(dict[Any, Any]):
        def __delitem__(self, key: Any) -> None:
            if other.ident is None:
                other.start()
                other.join(0.1)
            super().__delitem__(key)

    criteria = StopStringCriteria(tokenizer, ["mine"])
    monkeypatch.setattr(ends, "StopStringCriteria", lambda tokenizer, strings: criteria)
    monkeypatch.setitem(ends._criteria, tokenizer, Slow({number: object() for number in range(ends.PREPARED)}))
    Ends(Stop(strings="mine"), (), tokenizer)
    other.join()

    assert {strings for _, strings in list(ends._criteria[tokenizer])[-2:]} == {("mine",), ("other",)}
    assert len(ends._criteria[tokenizer]) == ends.PREPARED


def test_stop_strings_are_prepared_once_for_a_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """And are forgotten with it."""
    made = list[list[str]]()

    def prepare(tokenizer: object, strings: list[str]) -> StopStringCriteria:
        made.append(strings)
        return StopStringCriteria(tokenizer, strings)

    monkeypatch.setattr(ends, "StopStringCriteria", prepare)
    tokenizer = deepcopy(byte_tokenizer())
    for strings in (["ab"], ["ab"], ["ab", "c"], ["ab"], "ab", ["ab", "c"]):
        Ends(Stop(strings=strings), (), tokenizer)
    assert made == [["ab"], ["ab", "c"]]

    tokenizer.add_tokens(["abab"])
    Ends(Stop(strings="ab"), (), tokenizer)
    assert len(made) == 3

    gone = weakref.ref(tokenizer)
    del tokenizer
    gc.collect()
    assert gone() is None


def test_stop_strings_that_no_token_can_spell() -> None:
    with pytest.raises(OptionError, match=r"that the tokenizer's tokens can spell, got \('日',\)"):
        Ends(Stop(strings="日"), (), byte_tokenizer())
