"""The promise: what is said depends on target, prompt, sampling and seed, and on nothing else."""

import pytest

from specdec import Decoder, Generation, Sampling, Stop, Target
from tests.plain import decode_plainly, generate, loop
from tests.specdec.grid import COUNT, DRAFTERS, PAIRS, POLICIES, SAMPLINGS
from tests.toys import ARCHITECTURES, RAGGED, perturbed, tiny

GREEDY = [name for name, sampling in SAMPLINGS.items() if sampling.temperature == 0]
NAMES = list(SAMPLINGS)


def decode(kind: str, drafter: str, policy: str, prompts: list[list[int]], samplings: list[Sampling]) -> Generation:
    decoder = Decoder(DRAFTERS[drafter](kind), Target(tiny(kind)), POLICIES[policy])
    return decoder.generate(prompts, samplings, Stop(COUNT, tokens=()))


def plain(kind: str, prompts: list[list[int]], samplings: list[Sampling]) -> tuple[tuple[int, ...], ...]:
    rows = zip(prompts, samplings, strict=True)
    return tuple(decode_plainly(tiny(kind), tuple(prompt), sampling, COUNT) for prompt, sampling in rows)


def five(start: int) -> list[Sampling]:
    """Five different samplings, one for each row of a batch."""
    return [SAMPLINGS[NAMES[(start + row) % len(NAMES)]] for row in range(5)]


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("name", GREEDY)
def test_plain_greedy_text_is_what_transformers_generates(kind: str, name: str) -> None:
    """Token for token, with repetition penalty and a custom processor too."""
    expected = [tuple(generate(tiny(kind), prompt, COUNT, SAMPLINGS[name])) for prompt in RAGGED]

    assert list(plain(kind, RAGGED, [SAMPLINGS[name]] * 5)) == expected


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("name", NAMES)
def test_plain_text_is_that_of_an_independent_loop(kind: str, name: str) -> None:
    """No cache, no code of specdec, and the noise as it is documented."""
    prompts = [RAGGED[NAMES.index(name) % 5], RAGGED[(NAMES.index(name) + 2) % 5]]
    expected = [tuple(loop(tiny(kind), prompt, COUNT, SAMPLINGS[name])) for prompt in prompts]

    assert list(plain(kind, prompts, [SAMPLINGS[name]] * 2)) == expected


@pytest.mark.parametrize(("drafter", "policy"), PAIRS)
def test_every_drafter_and_policy_gives_the_plain_text_of_one_row(drafter: str, policy: str) -> None:
    """Architectures and samplings take turns; `test_the_whole_grid` is all of it."""
    turn = PAIRS.index((drafter, policy))
    name, kind, prompt = NAMES[turn * 3 % 8], ARCHITECTURES[(turn + turn // 8 + 3) % 6], RAGGED[turn % 5]
    said = decode(kind, drafter, policy, [prompt], [SAMPLINGS[name]])

    assert said.tokens == plain(kind, [prompt], [SAMPLINGS[name]])


@pytest.mark.parametrize(("drafter", "policy"), PAIRS)
def test_every_drafter_and_policy_gives_the_plain_text_of_a_ragged_batch(drafter: str, policy: str) -> None:
    """Rows of different lengths, each with a sampling of its own, say what each says alone."""
    turn = PAIRS.index((drafter, policy))
    kind = ARCHITECTURES[(turn + turn // 8) % 6]
    said = decode(kind, drafter, policy, RAGGED, five(turn))

    assert said.tokens == plain(kind, RAGGED, five(turn))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize(("drafter", "policy"), PAIRS)
def test_the_whole_grid(kind: str, drafter: str, policy: str) -> None:
    """Every drafter, policy, architecture, sampling and prompt as a row of one ragged batch; in turn, one row alone."""
    rows = [(prompt, SAMPLINGS[name]) for name in NAMES for prompt in RAGGED]
    turn = (PAIRS.index((drafter, policy)) + 7 * ARCHITECTURES.index(kind)) % len(rows)
    for batch in (rows, rows[turn : turn + 1]):
        prompts, samplings = map(list, zip(*batch, strict=True))

        assert decode(kind, drafter, policy, prompts, samplings).tokens == plain(kind, prompts, samplings)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_draft_model_that_is_the_target_is_accepted_whole_when_greedy(kind: str) -> None:
    """Otherwise the equalities above would be of empty paths."""
    said = decode(kind, "itself", "chain", RAGGED, [SAMPLINGS["greedy"]] * 5)

    assert said.metrics.acceptance_length == 6
    assert said.metrics.acceptance_rate == 1


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_draft_model_that_is_the_target_is_accepted_whole_when_sampled(kind: str) -> None:
    """Draft and target share their noise."""
    said = decode(kind, "itself", "chain", RAGGED, [SAMPLINGS["warm"]] * 5)

    assert said.metrics.acceptance_length == 6


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_perturbed_draft_model_is_accepted_at_times(kind: str) -> None:
    assert perturbed(kind) is not tiny(kind)
    said = decode(kind, "perturbed", "static", RAGGED, [SAMPLINGS["warm"]] * 5)

    assert 1.2 < said.metrics.acceptance_length < 4


def test_drafters_that_are_wrong_by_design_are_never_accepted() -> None:
    said = decode("llama", "wrong", "chain", RAGGED, [SAMPLINGS["greedy"]] * 5)

    assert said.metrics.acceptance_length == 1
    assert said.metrics.acceptance_rate == 0


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_eager_and_sdpa_attention_give_equal_texts(kind: str, attention: str) -> None:
    model = tiny(kind)
    before = model.config._attn_implementation
    model.set_attn_implementation(attention)
    try:
        said = decode(kind, "itself", "static", RAGGED, five(0)).tokens
        expected = plain(kind, RAGGED, five(0))
    finally:
        model.set_attn_implementation(before)

    assert said == expected


def test_row_i_of_a_batch_says_what_it_says_alone_with_the_seed_plus_i() -> None:
    """One `Sampling` is spread over the rows in a way that each can be repeated by itself."""
    decoder = Decoder(DRAFTERS["perturbed"]("llama"), Target(tiny()), POLICIES["dynamic"])
    batch = decoder.generate(RAGGED, Sampling(1.0, seed=2**64 - 3), Stop(COUNT, tokens=())).tokens
    seeds = [2**64 - 3, 2**64 - 2, 2**64 - 1, 0, 1]
    alone = [
        decoder.generate(prompt, Sampling(1.0, seed=seed), Stop(COUNT, tokens=())).tokens[0]
        for prompt, seed in zip(RAGGED, seeds, strict=True)
    ]

    assert list(batch) == alone


def test_seeds_matter() -> None:
    """Also the largest ones, and neighbours."""
    decoder = Decoder(DRAFTERS["none"]("llama"), Target(tiny()))
    seeds = [0, 1, 2**32, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1]
    texts = {decoder.generate(RAGGED[0], Sampling(1.0, seed=seed), Stop(COUNT, tokens=())).tokens for seed in seeds}

    assert len(texts) == len(seeds)
