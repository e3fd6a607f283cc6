"""What an unlucky user meets: other servers than before, servers that stop, prompts that break a target."""

import gc
from pathlib import Path
from typing import Any

import attrs
import pytest

from specdec import Decoder, Drafter, Needs, Sampling, Stop, Target, TreePolicy, load_drafter
from specdec.cli.remote import RemoteOptions
from specdec.cli.remote_target import connect_here
from specdec.context import Context
from specdec.drafters import NoDrafter
from specdec.errors import (
    ConnectionLost,
    ModelError,
    OptionError,
    PromptError,
    ProtocolError,
    VocabularyMismatch,
)
from specdec.remote import DraftOnly, Failover, Journal, Remote
from specdec.split import Limits, Server, turn
from specdec.tree import Tree
from tests.remote.hosts import Lines, toy

PROMPT = [5, 6, 7, 5, 6, 7, 5, 6]
TARGET = toy()


class Counts(Drafter):
    """Drafts four tokens that count up from the last one."""

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        return [None if done else self._draft(context, number) for number, done in enumerate(context.done)]

    def _draft(self, context: Context, number: int) -> Tree:
        last = context.tokens[number][-1]
        tree = Tree.root(last)
        for depth in range(min(4, context.room[number])):
            tree = tree.place([((last + depth) % 50 + 1, depth, 0.0)])
        return tree


def remote(lines: Lines, **options: Any) -> Remote:
    return Remote(lines.connect, clock=lines.clock, sleep=lines.sleep, **{"patience": 1.0, **options})


def wanted(prompts: list[list[int]], length: int, sampling: Sampling = Sampling()) -> object:  # noqa: B008
    return Decoder(NoDrafter(), TARGET).generate(prompts, sampling, Stop(max_tokens=length)).tokens


@pytest.mark.parametrize("alone", [False, True])
def test_a_server_with_other_tokens_in_the_place_of_the_first_is_an_error(alone: bool) -> None:
    lines = Lines(Server.of(TARGET))
    lines.server.tokenizer_hash = "one"
    verifier = remote(lines)
    stream = Decoder(Counts(), Failover(verifier) if alone else verifier).stream([PROMPT], stop=Stop(max_tokens=12))
    next(stream)

    lines.cut(0.2)
    lines.server = Server.of(toy())
    lines.server.tokenizer_hash = "another"

    with pytest.raises(VocabularyMismatch, match=r"one that it was, \(56, 'one', .*got \(56, 'another'"):
        list(stream)


def test_a_journal_is_continued_with_a_server_of_the_same_tokens(tmp_path: Path) -> None:
    lines = Lines(Server.of(TARGET))
    lines.server.tokenizer_hash = "one"
    stream = Decoder(Counts(), remote(lines, journal=Journal(tmp_path / "j"))).stream([PROMPT], stop=Stop(max_tokens=9))
    next(stream)

    other = Lines(Server.of(TARGET))
    other.server.tokenizer_hash = "another"

    with pytest.raises(VocabularyMismatch, match="another"):
        Decoder(Counts(), Failover(remote(other, journal=Journal(tmp_path / "j")))).generate(
            [PROMPT], stop=Stop(max_tokens=9)
        )


def test_a_prompt_that_the_server_would_not_take_is_an_error_and_the_next_is_none() -> None:
    lines = Lines(Server.of(TARGET, limits=Limits(message_bytes=200)))
    decoder = Decoder(Counts(), Failover(remote(lines)))

    with pytest.raises(PromptError, match="messages of 200 bytes, got 96 tokens"):
        decoder.generate([PROMPT * 12], stop=Stop(max_tokens=4))

    assert decoder.generate([PROMPT], stop=Stop(max_tokens=4)).tokens == wanted([PROMPT], 4)


def test_what_a_server_refuses_for_good_is_not_continued_alone() -> None:
    lines = Lines(Server.of(TARGET))
    decoder = Decoder(Counts(), Failover(remote(lines)))
    stream = decoder.stream([PROMPT], stop=Stop(max_tokens=30))
    next(stream)

    lines.server.limits = attrs.evolve(lines.server.limits, message_bytes=64)
    with pytest.raises(ProtocolError, match="expected at most 64 bytes"):
        list(stream)

    lines.server.limits = Limits()
    del stream
    gc.collect()
    assert decoder.generate([PROMPT], stop=Stop(max_tokens=4)).tokens == wanted([PROMPT], 4)


def test_a_server_that_stops_and_still_greets_is_out_of_reach() -> None:
    lines = Lines(Server.of(TARGET))
    stream = Decoder(Counts(), Failover(remote(lines))).stream([PROMPT], stop=Stop(max_tokens=12))
    next(stream)

    lines.server.drain(10.0)

    assert [step.verified for step in stream][-1] is False
    assert lines.now < 30


def test_whether_the_target_is_within_reach_is_said_by_the_verifier_that_was_given() -> None:
    lines = Lines(Server.of(TARGET))
    failover, said = Failover(remote(lines)), list[tuple[bool, bool]]()

    for number, step in enumerate(Decoder(Counts(), failover).stream([PROMPT], stop=Stop(max_tokens=40))):
        said.append((step.verified, failover.online))
        if number == 2:
            lines.cut(1.5)

    assert (False, False) in said
    assert said[0] == said[-1] == (True, True)


def test_a_line_that_cannot_even_be_closed_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def close() -> None:
        raise ConnectionLost("it is gone")

    lines = Lines(Server.of(TARGET))
    stream = Decoder(Counts(), remote(lines)).stream([PROMPT], stop=Stop(max_tokens=9))
    tokens = [*next(stream).tokens[0]]

    monkeypatch.setattr(lines.made[-1], "close", close)
    lines.cut(0.2)

    assert (*tokens, *(token for step in stream for token in step.tokens[0])) == wanted([PROMPT], 9)[0]  # type: ignore[index]


def test_a_batch_that_was_dropped_takes_no_other_of_the_same_journal_with_it(tmp_path: Path) -> None:
    lines = Lines(Server.of(TARGET))
    decoder = Decoder(Counts(), remote(lines, journal=Journal(tmp_path / "j")))
    stream = decoder.stream([PROMPT], stop=Stop(max_tokens=20))
    next(stream), next(stream)

    del stream
    gc.collect()

    assert decoder.generate([PROMPT], stop=Stop(max_tokens=20)).tokens == wanted([PROMPT], 20)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(bad_words_ids=((3, 4),)),
        Sampling(suppress_tokens=(16,)),
        Sampling(min_new_tokens=3),
        Sampling(1.0, sequence_bias=(((3,), 1.0),)),
    ],
    ids=str,
)
def test_a_journal_knows_its_sampling_again_and_what_it_had_is_not_measured(tmp_path: Path, sampling: Sampling) -> None:
    for length in (5, 9):
        lines, stop = Lines(Server.of(TARGET)), Stop(max_tokens=9)
        decoder = Decoder(Counts(), remote(lines, journal=Journal(tmp_path / "j")))
        tokens, stream = list[int](), decoder.stream([PROMPT], sampling, stop)
        while len(tokens) < length:
            tokens += next(stream).tokens[0]

    assert tuple(tokens) == wanted([PROMPT], 9, sampling)[0]  # type: ignore[index]
    assert decoder.metrics.summary().tokens < 5


def test_a_journal_keeps_what_was_said_beyond_what_the_target_has_decided(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    verifier = remote(Lines(Server.of(TARGET)), journal=journal)
    verifier.prefill([PROMPT], NoDrafter().needs, [Sampling()])
    journal.say(0, [1, 2, 3, 4])

    journal.note(0, [1, 2], [])
    journal.say(0, [5])
    assert Journal(tmp_path / "j").chapters[0].said == [3, 4, 5]

    journal.note(0, [3, 9], [])
    assert Journal(tmp_path / "j").chapters[0].said == []


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf"), 1e300])
def test_a_patience_means_something(wrong: Any) -> None:
    with pytest.raises(OptionError, match="expected a patience above 0"):
        remote(Lines(Server.of(TARGET)), patience=wrong)


def test_a_window_means_something() -> None:
    with pytest.raises(OptionError, match="expected a window of 0 or more tokens"):
        remote(Lines(Server.of(TARGET)), window=-1)


def test_a_kept_end_that_the_target_never_saw_is_not_verified() -> None:
    lines, stops = Lines(Server.of(TARGET)), [Stop(max_tokens=4), Stop(max_tokens=60)]

    class Cutter:
        def on_step(self, context: Context) -> None:
            if len(context.tokens[1]) - len(PROMPT) == 2:
                lines.cut(1.2)

    decoder = Decoder(Counts(), Failover(remote(lines), DraftOnly(6), keep=True), observers=[Cutter()])
    made = decoder.generate([PROMPT, PROMPT], stop=stops)

    assert decoder.metrics.sequences[1].tokens > decoder.metrics.sequences[0].tokens  # it was back for one alone
    assert not made.verified


@pytest.mark.parametrize("failover", [False, True])
def test_a_text_that_has_outgrown_a_message_is_not_opened_again(failover: bool) -> None:
    """It can be continued by its line, and once that is lost it cannot: the error says why."""
    lines = Lines(Server.of(toy(), limits=Limits(message_bytes=400)))
    verifier = remote(lines, patience=5.0)
    decoder = Decoder(NoDrafter(), Failover(verifier) if failover else verifier)
    stream = decoder.stream([list(range(1, 40))], stop=Stop(80))
    tokens = [next(stream).tokens[0][0] for _ in range(61)]
    lines.cut(0.2)
    with pytest.raises(PromptError, match="messages of 400 bytes, to open its session again; got 100 tokens"):
        next(stream)

    assert tuple(tokens) == Decoder(NoDrafter(), TARGET).generate([list(range(1, 40))], stop=Stop(61)).tokens[0]


def test_a_prompt_that_breaks_the_target_breaks_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    target = toy()
    read = target.sessions.engine.read

    def fragile(slots: Any, tokens: Any, *rest: Any, **options: Any) -> Any:
        if 9 in [int(token) for row in tokens for token in row]:
            raise RuntimeError("out of memory")
        return read(slots, tokens, *rest, **options)

    monkeypatch.setattr(type(target.sessions.engine), "read", staticmethod(fragile))
    lines = Lines(Server.of(target))
    other = remote(lines)
    other.prefill([[4, 5, 6]], NoDrafter().needs, [Sampling()])
    other.link.poll()

    with pytest.raises(ModelError, match="RuntimeError"):
        Decoder(NoDrafter(), remote(lines)).generate([[5, 9, 6]], stop=Stop(max_tokens=3))

    assert len(lines.server.store) == 1
    assert other.verify([Tree.root(6)]).tokens[0]


def test_a_prompt_may_be_read_again_after_one_of_its_batch_was_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has forgotten it, so the features that it sends reach up to the answer."""
    monkeypatch.setattr(turn, "PART", 1)  # each token's features come alone
    lines = Lines(Server.of(TARGET))
    verifier = remote(lines)
    verifier.prefill([PROMPT, PROMPT], Needs(hidden_states=(-1,)), [Sampling(), Sampling()])
    first = verifier.texts[0]
    assert first is not None
    verifier.ask({0: Tree.root(PROMPT[-1])})
    verifier.link.until(lambda: bool(first.answered), 1.0)
    assert not first.known & 1

    lines.cut(0.1)
    lines.server.store.forget(list(lines.server.store.records))
    verifier.ask({1: Tree.root(PROMPT[-1])})
    verifier.link.until(lambda: verifier.settled and bool(first.known & 1), 1.0)

    assert len(lines.made) == 2
    assert verifier.take()[0] == [list(wanted([PROMPT], 1)[0])] * 2  # type: ignore[index]


def test_the_command_samples_as_the_target_says_of_itself() -> None:
    target = Target(TARGET.sessions.engine.model)
    verifier = connect_here(RemoteOptions("local:"), target, load_drafter("ngram")).verifier

    assert verifier.generation_config is target.generation_config is not None
    assert verifier.view().generation_config is target.generation_config
