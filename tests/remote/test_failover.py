"""Generation that continues without the target, and settles when it is back."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import count

import pytest
import specdec_zoo

from specdec import Decoder, Drafter, Generation, Sampling, Step, Stop, Target, Tree, TreePolicy
from specdec.drafters import NoDrafter
from specdec.errors import TransportError
from specdec.policies import Chain
from specdec.remote import Failover, Remote
from specdec.split import Server
from tests.remote.hosts import KINDS, Lines, drafter

LENGTH = 60


def lines_to(zoo: Target, *drafters: Drafter) -> Lines:
    return Lines(Server.of(zoo, drafters))


def remote(lines: Lines, zoo: Target) -> Remote:
    return Remote(lines.connect, zoo.tokenizer, codec="float32", patience=1.0, clock=lines.clock, sleep=lines.sleep)


class Reader:
    """Reads a stream as a terminal does, and knows what is verified."""

    def __init__(self) -> None:
        self.tokens, self.text, self.unverified, self.most = list[int](), "", 0, 0
        self.steps = list[Step]()

    def take(self, step: Step) -> None:
        gone = step.retracted[0]
        assert gone <= self.unverified
        self.tokens[len(self.tokens) - gone :] = step.tokens[0]
        self.text = self.text[: len(self.text) - step.retracted_text[0]] + (step.text or ("",))[0]
        self.unverified = 0 if step.verified else self.unverified - gone + len(step.tokens[0])
        self.most = max(self.most, self.unverified)
        self.steps.append(step)


def read(decoder: Decoder, prompt: str, sampling: Sampling, before: Callable[[int], None]) -> Reader:
    reader = Reader()
    stream = decoder.stream(prompt, sampling, Stop(max_tokens=LENGTH))
    for number in count():
        before(number)
        if (step := next(stream, None)) is None:
            return reader
        reader.take(step)
    raise AssertionError


@cache
def plain(zoo: Target, prompt: str, sampling: Sampling) -> Generation:
    return Decoder(NoDrafter(), zoo).generate(prompt, sampling, Stop(max_tokens=LENGTH))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_after_a_cut_the_text_is_the_target_s_own(zoo: Target, kind: str, temperature: float) -> None:
    made, prompt, sampling = drafter(kind, zoo), specdec_zoo.prompts("classes")[1], Sampling(temperature, seed=4)
    lines = lines_to(zoo, made)

    decoder = Decoder(made, Failover(remote(lines, zoo)), Chain(4))
    reader = read(decoder, prompt, sampling, lambda number: lines.cut(1.5) if number == 4 else None)

    wanted = plain(zoo, prompt, sampling)
    assert tuple(reader.tokens) == wanted.tokens[0]
    assert reader.text == (wanted.text or ("",))[0]
    assert reader.unverified == 0
    assert kind == "ngram" or reader.most >= 3
    assert decoder.metrics.summary().tokens < LENGTH  # what was said alone was not counted


class Unwilling(TreePolicy):
    """Learnt that drafts are not worth their time."""

    def widths(self, tree: Tree) -> dict[int, int]:
        return {}

    def observe(self, trees: Sequence[Tree | None], step: Step, drafting: float, verifying: float) -> None: ...


def test_a_policy_that_drafts_nothing_does_not_keep_a_drafter_from_continuing(zoo: Target) -> None:
    made, lines = drafter("moa", zoo), lines_to(zoo, drafter("moa", zoo))
    decoder = Decoder(made, Failover(remote(lines, zoo), silence=5.0), Unwilling())

    reader = read(decoder, "def f(", Sampling(), lambda number: lines.cut() if number == 3 else None)

    assert [len(step.tokens[0]) for step in reader.steps[:3]] == [1, 1, 1]
    assert reader.unverified == LENGTH - 3


def test_it_ends_unverified_if_the_target_stays_away(zoo: Target) -> None:
    made, lines = drafter("eagle", zoo), lines_to(zoo, drafter("eagle", zoo))
    decoder = Decoder(made, Failover(remote(lines, zoo)), Chain(4))

    reader = read(decoder, "def f(", Sampling(), lambda number: lines.cut() if number == 3 else None)

    assert len(reader.tokens) == LENGTH
    assert reader.unverified > 20
    assert not reader.steps[-1].verified


def test_an_end_that_the_target_did_not_mean_is_taken_back(zoo: Target) -> None:
    """The last of what is said alone ends the text; the line is back only then."""
    made, lines = drafter("moa", zoo), lines_to(zoo, drafter("moa", zoo))
    decoder = Decoder(made, Failover(remote(lines, zoo)), Chain(4))
    prompt, reader = specdec_zoo.prompts("functions")[3], Reader()
    for step in decoder.stream(prompt, Sampling(), Stop(max_tokens=LENGTH)):
        reader.take(step)
        if len(reader.steps) == 3:
            lines.cut()
        lines.out = lines.out and len(reader.tokens) < LENGTH

    wanted = plain(zoo, prompt, Sampling())
    assert tuple(reader.tokens) == wanted.tokens[0]
    assert any(any(step.retracted) for step in reader.steps)
    assert reader.unverified == 0


def test_what_was_said_alone_may_be_kept(zoo: Target) -> None:
    made, lines = drafter("eagle3", zoo), lines_to(zoo, drafter("eagle3", zoo))
    decoder = Decoder(made, Failover(remote(lines, zoo), keep=True), Chain(2))

    reader = read(
        decoder, specdec_zoo.prompts("functions")[5], Sampling(), lambda number: lines.cut(1.2) if number == 3 else None
    )

    assert not any(any(step.retracted) for step in reader.steps)
    assert len(reader.tokens) == LENGTH
    assert reader.steps[-1].verified
    said = sum(len(step.tokens[0]) for step in reader.steps if not step.verified)
    before = sum(len(step.tokens[0]) for step in reader.steps[:3])
    start = [*_prompt(zoo, 5), *reader.tokens[: before + said]]
    wanted = Decoder(NoDrafter(), zoo).generate([start], Sampling(), Stop(max_tokens=LENGTH - before - said))
    assert tuple(reader.tokens[before + said :]) == wanted.tokens[0]


def _prompt(zoo: Target, number: int) -> list[int]:
    assert zoo.tokenizer is not None
    tokens: list[int] = zoo.tokenizer(specdec_zoo.prompts("functions")[number])["input_ids"]
    return tokens


def test_a_silent_drafter_waits_for_the_target(zoo: Target) -> None:
    lines = lines_to(zoo)
    decoder = Decoder(NoDrafter(), Failover(remote(lines, zoo), silence=5.0))

    with pytest.raises(TransportError, match="out of reach"):
        read(decoder, "def f(", Sampling(), lambda number: lines.cut() if number == 3 else None)


@pytest.mark.parametrize("kind", ["moa", "moa-tli1", "eagle", "eagle3", "medusa", "small_model"])
def test_drafters_are_as_good_after_a_cut_as_before(zoo: Target, kind: str) -> None:
    """From the same place on, every step decides as many tokens as for a drafter that was never away."""
    prompt = specdec_zoo.prompts("classes")[2]

    def steps(cut: int) -> dict[int, int]:
        """Tokens of each verified step, by the length before it."""
        made = drafter(kind, zoo)
        lines = lines_to(zoo, made)
        reader = Reader()
        sizes, retracted = dict[int, int](), 0
        decoder = Decoder(made, Failover(remote(lines, zoo)), Chain(5))
        for step in decoder.stream(prompt, Sampling(), Stop(max_tokens=LENGTH)):
            if step.verified and not any(step.retracted):
                sizes[len(reader.tokens)] = len(step.tokens[0])
            retracted += step.retracted[0]
            reader.take(step)
            if len(reader.steps) == cut:
                lines.cut(1.5)
        assert bool(retracted) == (cut > 0)
        return sizes

    alone, away = steps(cut=-9), steps(cut=4)
    common = sorted(alone.keys() & away.keys())
    later = [place for place in common if place > LENGTH // 2]
    assert len(later) >= 3
    assert [away[place] for place in later] == [alone[place] for place in later]
