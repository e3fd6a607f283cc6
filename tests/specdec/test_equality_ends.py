"""Ends that fall inside an accepted path: nothing after them is said, counted or kept."""

from collections.abc import Sequence

import pytest

from specdec import Decoder, Sampling, Stop, Target, TreePolicy
from specdec.drafters import NoDrafter, SmallModel
from specdec.policies import Chain, Static
from tests.plain import decode_plainly, generate
from tests.specdec.grid import SAMPLINGS
from tests.toys import ARCHITECTURES, RAGGED, build, byte_tokenizer, tiny

LONG = Chain(6)


def end_inside(text: Sequence[int]) -> int:
    """Choose a token that is said first at the third to fifth place: inside the first path of six."""
    return next(token for place, token in enumerate(text) if token not in text[:place] and 2 <= place <= 4)


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("name", ["greedy", "greedy, penalised and restless"])
def test_greedy_text_ends_where_transformers_ends_it(kind: str, name: str) -> None:
    sampling, prompt = SAMPLINGS[name], RAGGED[0]
    end = end_inside(decode_plainly(tiny(kind), tuple(prompt), sampling, 12))
    expected = generate(tiny(kind), prompt, 12, sampling, eos_token_id=end, pad_token_id=end)
    decoder = Decoder(SmallModel(tiny(kind)), Target(tiny(kind)), LONG)
    said = decoder.generate(prompt, sampling, Stop(12, tokens=[end]))

    assert list(said.tokens[0]) == expected
    assert said.tokens[0][-1] == end
    assert len(expected) < 12


@pytest.mark.parametrize("policy", [LONG, Static((3, 2, 1, 1)), Chain(4, sampled=True)])
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_an_end_inside_an_accepted_path_cuts_it(kind: str, policy: TreePolicy) -> None:
    """Rows that ended are not heard of again, and the others go on."""
    sampling, prompts = Sampling(1.0, seed=4), [RAGGED[0], RAGGED[2], RAGGED[4]]
    whole = [decode_plainly(tiny(kind), tuple(p), row, 12) for p, row in zip(prompts, sampling.spread(3), strict=True)]
    ends = [end_inside(whole[0])]
    expected = [text[: text.index(ends[0]) + 1] if ends[0] in text else text for text in whole]
    decoder = Decoder(SmallModel(tiny(kind)), Target(tiny(kind)), policy)
    steps = list(decoder.stream(prompts, sampling, Stop(12, tokens=ends)))
    said = [tuple(token for step in steps for token in step.tokens[row]) for row in range(3)]

    assert said == expected
    assert decoder.metrics.summary().tokens == sum(map(len, expected))
    assert len(expected[0]) <= 5


def test_an_end_did_fall_inside_a_path_and_all_of_the_step_that_is_shown_was_drafted() -> None:
    """The path of six was accepted to its third token at least, so all three that are shown were drafted."""
    text = decode_plainly(tiny(), tuple(RAGGED[0]), Sampling(), 12)
    end = end_inside(text)
    place = text.index(end) + 1
    decoder = Decoder(SmallModel(tiny()), Target(tiny()), LONG)
    step, *others = decoder.stream(RAGGED[0], Sampling(), Stop(12, tokens=[end]))

    assert others == []
    assert step.tokens == [list(text[:place])]
    assert step.lengths == [place]
    assert step.accepted == [place]
    assert decoder.metrics.summary().tokens == place
    assert decoder.metrics.summary().acceptance_by_position == (1.0,) * place


def test_the_models_own_end_tokens_count_unless_others_are_given() -> None:
    model = build("llama")
    text = decode_plainly(tiny(), tuple(RAGGED[0]), Sampling(), 12)
    model.generation_config.eos_token_id = [end_inside(text), 55]
    decoder = Decoder(SmallModel(model), Target(model), LONG)

    assert decoder.generate(RAGGED[0], Sampling(), Stop(12)).tokens[0] == text[: text.index(end_inside(text)) + 1]
    assert decoder.generate(RAGGED[0], Sampling(), Stop(12, tokens=())).tokens[0] == text


@pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 8, 13])
def test_lengths_end_inside_paths_too(count: int) -> None:
    """Exactly `max_tokens` are said, wherever paths happen to end."""
    said = Decoder(SmallModel(tiny()), Target(tiny()), LONG).generate(RAGGED, Sampling(), Stop(count))

    assert said.tokens == tuple(decode_plainly(tiny(), tuple(prompt), Sampling(), 13)[:count] for prompt in RAGGED)


def test_rows_go_on_to_the_models_last_position() -> None:
    model = build("llama", max_position_embeddings=32)
    drafted = Decoder(SmallModel(model), Target(model), LONG).generate([RAGGED[0], RAGGED[2]])
    plain = Decoder(NoDrafter(), Target(model)).generate([RAGGED[0], RAGGED[2]])

    assert [len(row) for row in drafted.tokens] == [32 - 9, 32 - 23]
    assert drafted.tokens == plain.tokens


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_stop_strings_end_a_text_where_transformers_ends_it(kind: str, seed: int) -> None:
    """Also strings that begin in one token and end in another, wherever in a path they are completed."""
    tokenizer = byte_tokenizer()
    model = build(kind, seed=seed, vocab_size=len(tokenizer))
    prompt = tokenizer("abc xy é")["input_ids"]
    whole = generate(model, prompt, 16, Sampling())
    pairs = [tokenizer.decode(whole[place : place + 2]) for place in range(2, 12)]
    strings = [pair for pair in pairs if pair.isascii()][:2]
    expected = generate(model, prompt, 16, Sampling(), stop_strings=strings, tokenizer=tokenizer)
    decoder = Decoder(SmallModel(model), Target(model, tokenizer), LONG)
    said = decoder.generate(prompt, Sampling(), Stop(16, strings=strings))

    assert list(said.tokens[0]) == expected
    assert len(expected) < 16
    assert said.text == (tokenizer.decode(expected),)
