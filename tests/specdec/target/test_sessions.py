"""Sessions of any owners on one engine: each has the text that it would have alone."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from specdec import Needs
from specdec.errors import TreeError
from specdec.target import Engine
from specdec.target.sessions import Decision, Sessions
from tests.plain import decode_plainly
from tests.specdec.grid import SAMPLINGS
from tests.specdec.target.alone import COUNT, NAMES, NEEDS, Alone, opened
from tests.specdec.target.features import assert_features, plain_features
from tests.toys import RAGGED, VOCAB, tiny


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
