"""What drafters say alone: figures worked out by hand, on toys, and the same words as over the real protocol."""

import math

import numpy as np
import pytest
import specdec_zoo
import torch

from specdec import Decoder, Sampling, Stop, Target
from specdec.bench import Question
from specdec.bench.interval import Interval
from specdec.bench.split import disconnect
from specdec.bench.split.continuation import ALONE, ONLINE, Continuation, CutText, continue_alone
from specdec.bench.split.disconnect import POLICY
from specdec.bench.split.python_text import parses
from specdec.drafters import Ngram, NoDrafter, SmallModel
from specdec.remote import Failover, Remote
from specdec.split import Server
from tests.remote.hosts import Lines, drafter
from tests.toys import Constant, build, byte_tokenizer

SETS = {"toys": [Question(1, "", ("abcabcabc",)), Question(2, "", ("xyzzy abc",)), Question(3, "", ("12 34 abab",))]}


@pytest.fixture(scope="module")
def toy() -> Target:
    tokenizer = byte_tokenizer()
    model = build("llama", seed=1, vocab_size=len(tokenizer), max_position_embeddings=256)
    return Target(model, tokenizer)


def test_who_is_the_target_says_what_it_would_have_said(toy: Target) -> None:
    found = disconnect(toy, {"twin": SmallModel(toy.model), "same": Constant(5)}, SETS)

    for row in found.rows:
        if row.drafter in ("none", "twin"):
            own = next(each for each in found.rows if each.drafter == "none" and each.temperature == row.temperature)
            assert (row.said, row.prefix, row.agreement) == (50.0, 50.0, {10: 1.0, 20: 1.0, 50: 1.0})
            assert row.perplexity == pytest.approx(own.perplexity)
    same = {row.temperature: row for row in found.rows if row.drafter == "same" and row.learnt}
    for lead in found.leads:
        assert (lead.drafter, lead.other) == ("twin", "same")
        assert lead.prefix.value == pytest.approx(50 - same[lead.temperature].prefix)
        assert lead.agreement.value == pytest.approx(1 - same[lead.temperature].agreement[50])


def test_it_finds_the_same_again_and_a_silent_drafter_ends(toy: Target) -> None:
    first, second = (disconnect(toy, {"ngram": Ngram(), "silent": NoDrafter()}, SETS, (1.0,)) for _ in range(2))

    assert first.as_json() == second.as_json()
    silent = first.rows[2]
    assert (silent.drafter, silent.said, silent.prefix, silent.perplexity) == ("silent", 0.0, 0.0, None)


def test_perplexity_is_the_models_own(toy: Target) -> None:
    text = CutText([1, 2, 3], (0,) * ALONE, Sampling())
    [found] = continue_alone(Constant(5), POLICY, toy, [text], learnt=True)

    assert found.said == (5,) * ALONE
    whole = torch.tensor([text.tokens + [5] * ALONE])
    logits = toy.model(whole).logits[0, len(text.tokens) - 1 : -1].float()
    assert found.nll == pytest.approx(torch.nn.functional.cross_entropy(logits, whole[0, -ALONE:]) * ALONE)


def test_figures_of_a_text() -> None:
    right = (True, True, False, True) + (False,) * 46
    one = Continuation(tuple(range(50)), right, 0.0, None)

    assert (one.prefix, one.agreement(10), one.agreement(50), one.looping) == (2, 0.3, 0.06, False)
    assert Continuation((7,) * 50, (True,) * 50, 0.0, None).prefix == 50


def test_intervals_are_those_of_the_normal_distribution_for_many_values() -> None:
    values = np.random.default_rng(3).normal(2.0, 5.0, size=900)
    found, half = Interval.mean(values.tolist()), 1.96 * values.std() / math.sqrt(900)

    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(found.value - half, abs=0.1 * half)
    assert found.high == pytest.approx(found.value + half, abs=0.1 * half)
    assert Interval.mean([0.5] * 7) == Interval(0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f(a):\n    '''What is open may be clo", True),
        ("x = [1,\n  2,\n 'cut o", True),
        ("try:\n    x = 1\n", True),
        ("if x:\n    pass\n  y\nz", False),
        ("def f(:\n", False),
        ("x = 'abc\ny\n", False),
        ("Once upon a time\nthere was", False),
    ],
)
def test_a_text_parses_as_far_as_it_goes(text: str, expected: bool) -> None:
    assert parses(text) is expected


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["moa", "eagle", "small_model"])
def test_it_is_what_failover_says_when_the_line_is_cut(kind: str, temperature: float) -> None:
    """From where its line was cut on, `Failover` says word for word what is said alone after the same text."""
    zoo = Target.from_pretrained(specdec_zoo.path("target"))
    made, sampling = drafter(kind, zoo), Sampling(temperature, seed=2)
    lines = Lines(Server.of(zoo, [made]))
    remote = Remote(lines.connect, zoo.tokenizer, codec="float32", patience=1.0, clock=lines.clock, sleep=lines.sleep)
    prompt = zoo.tokenizer(specdec_zoo.prompts("classes")[1])["input_ids"]  # type: ignore[misc]
    said, decided = list[int](), list[int]()
    for step in Decoder(made, Failover(remote), POLICY).stream([prompt], [sampling], Stop(ONLINE + 40, tokens=())):
        (decided if step.verified else said).extend(step.tokens[0])
        if len(decided) > 20 and not lines.out:
            lines.cut()

    wanted = Decoder(NoDrafter(), zoo).generate([prompt], sampling, Stop(ONLINE, tokens=())).tokens[0]
    assert tuple(decided) == wanted[: len(decided)]
    text = CutText([*prompt, *decided], (0,) * ALONE, sampling)
    [found] = continue_alone(made, POLICY, zoo, [text], learnt=True)
    assert list(found.said[:30]) == said[:30]
