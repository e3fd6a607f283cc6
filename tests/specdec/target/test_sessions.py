"""Sessions of any owners on one engine: each says what it would say alone."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
import torch
from attrs import define, frozen
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from jaxtyping import Float
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedModel

from specdec import Encoder, Features, Needs, Sampling, Tree
from specdec.errors import NonFiniteLogits, PromptError, TreeError
from specdec.target import Engine
from specdec.target.sessions import CHUNK, Decision, Session, Sessions
from tests.plain import decode_plainly
from tests.specdec.grid import SAMPLINGS
from tests.specdec.target.features import assert_features, plain_features
from tests.toys import RAGGED, VOCAB, build, prompt, tiny

COUNT = 40
"""Tokens of a text, more than any session here comes to."""


@frozen(eq=False)
class Sums(Encoder):
    """Makes one number of each token, by itself."""

    def encode(self, features: Features) -> Float[Tensor, "B K ..."]:
        assert features.keys is not None
        return features.keys.sum((2, 3, 4))


NAMES = list(SAMPLINGS)
NEEDS = [Needs(), Needs((-1,)), Needs((0, 2), (1,)), Needs((), (0, 1)), Needs((), (1, 0), Sums())]


@define(eq=False)
class Broken(LogitsProcessor):
    """Raises, or says what is no number, for as long as it is broken."""

    fault: str | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self.fault == "raises":
            raise RuntimeError("this processor is broken")
        return torch.full_like(scores, torch.nan) if self.fault == "nan" else scores


@define(eq=False)
class Alone:
    """A session, and what its prompt says by itself."""

    session: Session
    prompt: list[int]
    text: tuple[int, ...]
    said: int = 0

    @property
    def coming(self) -> tuple[int, ...]:
        return self.text[self.said :]

    def tree(self, random: Random, most: int = 6) -> Tree:
        """Make a tree of any shape, in which the right tokens are more frequent than by chance."""
        tree = Tree.root(self.session.prefix.tokens[-1])
        for _ in range(random.randrange(most)):
            parent = random.randrange(len(tree))
            right = self.coming[tree.depths[parent]]
            tree = tree.place([(right if random.random() < 0.5 else random.randrange(VOCAB), parent, 0.0)])
        return tree

    def check(self, tree: Tree, decision: Decision | Exception) -> None:
        """What was decided is the longest path of the tree that the text takes, and one token more."""
        assert isinstance(decision, Decision), decision
        path = tree.follow(self.coming)
        assert decision.tokens == [*self.coming[: len(path) + 1]]
        assert [*decision.nodes] == [0, *path]
        assert decision.start == len(self.prompt) + self.said - 1
        self.said += len(decision.tokens)


def opened(
    sessions: Sessions,
    tokens: list[int],
    sampling: Sampling,
    needs: Needs = NEEDS[0],
    model: PreTrainedModel | None = None,
    count: int = COUNT,
) -> Alone:
    text = decode_plainly(model or tiny(), tuple(tokens), sampling, count)
    return Alone(sessions.open(tokens, sampling, needs), tokens, text)


def check_features(sessions: Sessions, alone: Sequence[Alone], decisions: Sequence[Decision]) -> None:
    """The features of what one pass kept, gathered for all sessions of the same needs."""
    for needs in NEEDS:
        pairs = [pair for pair in zip(alone, decisions, strict=True) if pair[0].session.needs is needs]
        if not pairs:
            continue
        features = sessions.features([decision for _, decision in pairs])
        assert (features is not None) == bool(needs)
        for row, (one, decision) in enumerate(pairs if needs else ()):
            want = plain_features(tiny(), [*one.prompt, *one.text[: one.said]], needs)
            assert_features(features, row, decision.start, len(decision.nodes), want)


class Owners(RuleBasedStateMachine):
    """Sessions join, read their prompts by parts, verify, fail and leave in any order and company."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions = Sessions(Engine(tiny()))
        self.alone: list[Alone] = []

    def some(self, data: st.DataObject, *, read: bool) -> list[Alone]:
        able = [one for one in self.alone if (one.session.unread == 0) == read and one.said < COUNT - 10]
        return data.draw(st.lists(st.sampled_from(able), min_size=1, unique_by=id)) if able else []

    @precondition(lambda self: len(self.alone) < 6)
    @rule(tokens=st.sampled_from(RAGGED), name=st.sampled_from(NAMES[3:7]), needs=st.sampled_from(NEEDS))
    def join(self, tokens: list[int], name: str, needs: Needs) -> None:
        self.alone.append(opened(self.sessions, tokens, SAMPLINGS[name], needs))

    @precondition(lambda self: self.alone)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        one = self.alone.pop(data.draw(st.integers(0, len(self.alone) - 1)))
        self.sessions.close(one.session)
        self.sessions.close(one.session)

    @rule(data=st.data(), budget=st.integers(1, 9))
    def read(self, data: st.DataObject, budget: int) -> None:
        some = self.some(data, read=False)
        before = [one.session.unread for one in some]
        decisions = self.sessions.read([one.session for one in some], budget)
        after = [one.session.unread for one in some]

        assert 0 < sum(before) - sum(after) <= budget or not some
        assert [decision.session for decision in decisions] == [one.session for one in some[: len(decisions)]]
        assert all(decision.tokens == [] for decision in decisions)
        check_features(self.sessions, some[: len(decisions)], decisions)

    @rule(data=st.data(), random=st.randoms(use_true_random=False))
    def verify(self, data: st.DataObject, random: Random) -> None:
        some = self.some(data, read=True)
        trees = [one.tree(random) for one in some]
        decisions = self.sessions.verify([one.session for one in some], trees)
        for one, tree, decision in zip(some, trees, decisions, strict=True):
            one.check(tree, decision)

        check_features(self.sessions, some, [each for each in decisions if isinstance(each, Decision)])

    @rule(data=st.data(), random=st.randoms(use_true_random=False), budget=st.integers(1, 9))
    def step(self, data: st.DataObject, random: Random, budget: int) -> None:
        """All prompts that are unread move on, whoever has trees; sessions whose trees do not fit get errors."""
        some = self.some(data, read=True)
        trees = {one.session: one.tree(random) for one in some}
        misfits = {one.session for one in some if random.random() < 0.2}
        for session in misfits:
            trees[session] = trees[session].place([(VOCAB, 0, 0.0)])
        unread = sum(one.session.unread for one in self.alone)
        decisions = self.sessions.step(trees, budget)

        assert decisions.keys() == trees.keys()
        assert {session for session in decisions if isinstance(decisions[session], TreeError)} == misfits
        for one in some:
            if one.session not in misfits:
                one.check(trees[one.session], decisions[one.session])
        assert sum(one.session.unread for one in self.alone) < unread or unread == 0

    @invariant()
    def sessions_hold_what_was_decided(self) -> None:
        for one in self.alone:
            assert one.session.prefix.tokens == [*one.prompt, *one.text[: one.said]]
        assert sorted(one.session.slot.index for one in self.alone) == [*range(len(self.alone))]


TestOwners = Owners.TestCase
TestOwners.settings = settings(max_examples=20, stateful_step_count=20)


def ready(sessions: Sessions, samplings: Sequence[Sampling], needs: Needs = NEEDS[0]) -> list[Alone]:
    """Open a session for each sampling, their prompts of different lengths, and read these."""
    alone = [opened(sessions, prompt(3 + number), sampling, needs) for number, sampling in enumerate(samplings)]
    while any(one.session.unread for one in alone):
        sessions.read([one.session for one in alone])
    return alone


def misfit(one: Alone) -> Tree:
    return Tree.root((one.session.prefix.tokens[-1] + 1) % VOCAB)


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("raises", RuntimeError, "this processor is broken"),
        ("nan", NonFiniteLogits, "processed logits at position 4 "),
        ("tree", TreeError, "expected the sequence to have root"),
    ],
)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_session_that_fails_stays_as_it_was_and_hurts_no_other(
    temperature: float, fault: str, error: type[Exception], message: str
) -> None:
    processor, sessions, random = Broken(), Sessions(Engine(tiny())), Random(1)
    good, odd = Sampling(temperature, seed=5), Sampling(temperature, processors=(processor,), seed=6)
    alone = ready(sessions, [good, odd, good])
    before = list(alone[1].session.prefix.tokens)
    for _ in range(3):
        processor.fault = fault
        trees = [one.tree(random) for one in alone]
        if fault == "tree":
            trees[1] = misfit(alone[1])
        decisions = sessions.verify([one.session for one in alone], trees)
        for number in (0, 2):
            alone[number].check(trees[number], decisions[number])
        with pytest.raises(error, match=message):
            raise decisions[1]  # type: ignore[misc]
        assert alone[1].session.prefix.tokens == before
    processor.fault = None
    tree = alone[1].tree(random)

    alone[1].check(tree, *sessions.verify([alone[1].session], [tree]))


@pytest.mark.parametrize("fault", ["raises", "nan", "tree"])
def test_sessions_that_go_together_all_stay_as_they_were_if_one_fails(fault: str) -> None:
    processor, sessions, random = Broken(fault), Sessions(Engine(tiny())), Random(2)
    good, odd = Sampling(1.0, seed=5), Sampling(1.0, processors=(processor,), seed=6)
    processor.fault = None
    alone = ready(sessions, [good, odd, good])
    processor.fault = fault
    trees = [one.tree(random) for one in alone]
    wrong = [trees[0], misfit(alone[1]), trees[2]] if fault == "tree" else trees
    with pytest.raises((RuntimeError, NonFiniteLogits, TreeError)):
        sessions.verify_together([one.session for one in alone], wrong)
    processor.fault = None
    decisions = sessions.verify_together([one.session for one in alone], trees)

    for one, tree, decision in zip(alone, trees, decisions, strict=True):
        one.check(tree, decision)


def test_a_prompt_that_is_no_number_to_the_model_hurts_no_other() -> None:
    """Its keys and values are in the cache, beside those of others, and leave with it."""
    model, bad_prompt = build("llama"), [1, 50, 3, 4, 5, 6, 7]
    model.get_input_embeddings().weight[50] = torch.nan
    sessions = Sessions(Engine(model))
    bad = sessions.open(bad_prompt, Sampling(), NEEDS[0])
    good = [opened(sessions, tokens, Sampling(), model=model, count=20) for tokens in ([1, 2, 3], [4, 5, 6, 7, 8])]
    sessions.read([bad, *(one.session for one in good)])
    for turn in range(4):
        trees = [Tree.of([one.session.prefix.tokens[-1], *one.coming[:2]], [-1, 0, 1]) for one in good]
        rows = {bad: Tree.of([7, 1, 2], [-1, 0, 1])} if turn < 2 else {}
        rows |= {one.session: tree for one, tree in zip(good, trees, strict=True)}
        *failed, first, second = sessions.verify([*rows], [*rows.values()])
        good[0].check(trees[0], first)
        good[1].check(trees[1], second)
        assert all(isinstance(outcome, NonFiniteLogits) for outcome in failed)
        assert bad.prefix.tokens == bad_prompt
        if turn == 1:
            sessions.close(bad)

    assert [one.said for one in good] == [12, 12]


@pytest.mark.parametrize("unread", [1, 4])
def test_a_tree_is_refused_before_its_prompt_has_been_read(unread: int) -> None:
    """It would stand at the wrong place."""
    sessions = Sessions(Engine(tiny()))
    one = opened(sessions, prompt(5), Sampling())
    while one.session.unread > unread:
        sessions.read([one.session], 1)
    tree = Tree.root(one.session.prefix.tokens[-1])
    (refused,) = sessions.verify([one.session], [tree])
    sessions.read([one.session])

    assert isinstance(refused, TreeError)
    assert f"got one with {unread} tokens unread" in str(refused)
    one.check(tree, *sessions.verify([one.session], [tree]))


def test_a_session_that_left_is_refused() -> None:
    """And the slot that it had is another's."""
    sessions = Sessions(Engine(tiny()))
    gone, stays = ready(sessions, [Sampling(), Sampling()])
    sessions.close(gone.session)
    trees = [Tree.root(one.session.prefix.tokens[-1]) for one in (gone, stays)]
    refused, decision = sessions.verify([gone.session, stays.session], trees)

    assert isinstance(refused, TreeError)
    assert "has left" in str(refused)
    assert sessions.read([gone.session]) == []
    stays.check(trees[1], decision)


@pytest.mark.parametrize("tokens", [[], [VOCAB], [-1], [1] * 128])
def test_a_prompt_that_cannot_be_used_opens_nothing(tokens: list[int]) -> None:
    sessions = Sessions(Engine(tiny()))
    with pytest.raises(PromptError, match="the prompt"):
        sessions.open(tokens, Sampling(), NEEDS[0])

    assert sessions.open([1], Sampling(), NEEDS[0]).slot.index == 0


def test_abandoned_sessions_make_room_for_the_next_one() -> None:
    sessions = Sessions(Engine(tiny()))
    one, other = ready(sessions, [Sampling(), Sampling()])
    sessions.abandon([one.session, None])
    third = opened(sessions, prompt(4), Sampling())

    assert {other.session.slot.index, third.session.slot.index} == {0, 1}


@define
class Passes:
    """Counts what an engine reads: sessions and tokens of each pass, and whether logits were wanted."""

    engine: Engine
    seen: list[tuple[int, int, bool]]

    @staticmethod
    def of(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> "Passes":
        passes, read = Passes(engine, []), engine.read

        def counted(slots: Any, tokens: Tensor, *args: Any, logits: bool = True, **options: Any) -> Any:
            passes.seen.append((len(slots), tokens.shape[0] * tokens.shape[1], logits))
            return read(slots, tokens, *args, logits=logits, **options)

        monkeypatch.setattr(engine, "read", counted)
        return passes


def test_sixteen_sessions_share_each_pass_and_wait_for_one_chunk_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt of 900 tokens is read meanwhile, and its session then joins them."""
    model = build("llama", max_position_embeddings=1024)
    long, samplings, random = prompt(900), list(SAMPLINGS.values()) * 2, Random(4)
    texts = [
        decode_plainly(model, tuple(prompt(3 + number)), sampling, COUNT) for number, sampling in enumerate(samplings)
    ]
    sessions = Sessions(Engine(model))
    sixteen = [
        Alone(sessions.open(prompt(3 + number), sampling, NEEDS[number % 5]), prompt(3 + number), text)
        for number, (sampling, text) in enumerate(zip(samplings, texts, strict=True))
    ]
    while any(one.session.unread for one in sixteen):
        sessions.step({})
    late = Alone(sessions.open(long, Sampling(), NEEDS[0]), long, decode_plainly(model, tuple(long), Sampling(), COUNT))
    passes = Passes.of(sessions.engine, monkeypatch)
    for _ in range(4):
        taking_part = [*sixteen, *([] if late.session.unread else [late])]
        trees = {one.session: one.tree(random) for one in taking_part}
        decisions = sessions.step(trees)
        for one in taking_part:
            one.check(trees[one.session], decisions[one.session])

    assert [(rows, logits) for rows, _, logits in passes.seen] == [
        (16, True),
        (1, False),
        (16, True),
        (1, False),
        (17, True),
        (17, True),
    ]
    assert all(tokens <= CHUNK for _, tokens, logits in passes.seen if not logits)
    assert late.said > 1


def test_prompts_share_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three prompts are read in three passes, none of more tokens than the budget; those of one token in none."""
    sessions = Sessions(Engine(tiny()))
    alone = [opened(sessions, prompt(size), Sampling()) for size in (25, 1, 19, 25)]
    passes = Passes.of(sessions.engine, monkeypatch)
    for _ in range(4):
        sessions.step({}, budget=24)

    assert [seen for seen in passes.seen if seen[1] > 24] == []
    assert [rows for rows, _, _ in passes.seen] == [3, 3, 3]
    assert [one.session.unread for one in alone] == [0] * 4


def text_of(sessions: Sessions, alone: Alone, random: Random, count: int) -> Iterator[int]:
    """Read a prompt and say `count` tokens of its text, by itself."""
    while alone.session.unread:
        sessions.read([alone.session], 5)
    while alone.said < count:
        tree = alone.tree(random)
        (decision,) = sessions.verify([alone.session], [tree])
        alone.check(tree, decision)
        assert isinstance(decision, Decision)
        yield from decision.tokens
    sessions.close(alone.session)


def test_sessions_of_several_threads_say_what_they_say_alone() -> None:
    """Each thread has one session after the other."""
    sessions = Sessions(Engine(tiny()))

    def run(first: int) -> list[list[int]]:
        said = []
        for number in (first, first + 4):
            alone = opened(sessions, RAGGED[first], SAMPLINGS[NAMES[number]], NEEDS[number % 5])
            said.append(list(text_of(sessions, alone, Random(number), 24)))
        return said

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(run, range(4)))

    assert all(len(tokens) >= 24 for texts in said for tokens in texts)
    for first, texts in enumerate(said):
        for tokens, name in zip(texts, (NAMES[first], NAMES[first + 4]), strict=True):
            assert decode_plainly(tiny(), tuple(RAGGED[first]), SAMPLINGS[name], COUNT)[: len(tokens)] == tuple(tokens)
