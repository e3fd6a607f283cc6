"""A session that fails, is refused or has left hurts no other."""

from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from attrs import define
from jaxtyping import config
from torch import Tensor
from transformers import LogitsProcessor

from specdec import Needs, Sampling, Tree
from specdec.errors import NonFiniteLogits, OptionError, PromptError, TreeError
from specdec.target import Engine
from specdec.target.sessions import Sessions
from tests.specdec.target.alone import NEEDS, Alone, opened, ready
from tests.toys import VOCAB, build, prompt, tiny


@define(eq=False)
class Broken(LogitsProcessor):
    """Raises, or says what is no number, for as long as it is broken."""

    fault: str | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self.fault == "raises":
            raise RuntimeError("this processor is broken")
        return torch.full_like(scores, torch.nan) if self.fault == "nan" else scores


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


def test_a_session_given_twice_is_read_and_verified_once() -> None:
    """Its second tree is refused, and its second part of a prompt would be the first again."""
    sessions, random = Sessions(Engine(tiny())), Random(3)
    one = opened(sessions, prompt(9), Sampling())
    while one.session.unread:
        assert len(sessions.read([one.session, one.session], 4)) == 1
    tree = one.tree(random)
    decision, refused = sessions.verify([one.session, one.session], [tree, tree])

    one.check(tree, decision)
    assert isinstance(refused, TreeError)
    assert "got two of one" in str(refused)


@pytest.mark.parametrize("number", ["a", 2.0, np.int64(2), torch.tensor(2)])
def test_a_tree_of_other_things_than_ints_is_refused_and_hurts_no_other(
    number: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tensor among a text's tokens would equal no end token."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)  # as users have it
    sessions = Sessions(Engine(tiny()))
    odd, good = ready(sessions, [Sampling(), Sampling()])
    trees = [Tree([one.session.prefix.tokens[-1], 2], [-1, 0], [0.0, 0.0], [0, 1]) for one in (odd, good)]
    trees[0].tokens[1] = number
    refused, decision = sessions.verify([odd.session, good.session], trees)

    assert isinstance(refused, TreeError)
    assert f"of type int, got {number!r}" in str(refused)
    good.check(trees[1], decision)


def test_features_are_gathered_of_one_pass_and_of_sessions_that_are_open() -> None:
    """Otherwise they would be those of whoever has the place now."""
    sessions = Sessions(Engine(tiny()))
    pair = [one.session for one in ready(sessions, [Sampling(), Sampling()], Needs((0,), (1,)))]
    roots = [Tree.root(session.prefix.tokens[-1]) for session in pair]
    passes = [sessions.verify_together([session], [root]) for session, root in zip(pair, roots, strict=True)]
    with pytest.raises(OptionError, match="of one pass, got 2 of several"):
        sessions.features([*passes[0], *passes[1]])
    sessions.close(pair[0])
    with pytest.raises(OptionError, match="got one of a session that has left"):
        sessions.features(passes[0])

    assert sessions.features(passes[1]) is not None


@pytest.mark.parametrize("needs", [Needs((3,)), Needs((-4,)), Needs((), (2,)), Needs((0,), (-3,))])
def test_needs_that_the_model_has_no_layers_for_open_nothing(needs: Needs) -> None:
    """The passes of all would fail."""
    sessions = Sessions(Engine(tiny()))
    with pytest.raises(OptionError, match=r"from -\d to \d, got"):
        sessions.open([1], Sampling(), needs)

    assert sessions.open([1], Sampling(), NEEDS[0]).slot.index == 0


@pytest.mark.parametrize("tokens", [[], [VOCAB], [-1], [1] * 128])
def test_a_prompt_that_cannot_be_used_opens_nothing(tokens: list[int]) -> None:
    sessions = Sessions(Engine(tiny()))
    with pytest.raises(PromptError, match="the prompt"):
        sessions.open(tokens, Sampling(), NEEDS[0])

    assert sessions.open([1], Sampling(), NEEDS[0]).slot.index == 0


@pytest.mark.parametrize("tokens", [[1, 2.0], [1, np.int64(2)], np.array([1, 2]), torch.tensor([1, 2])])
def test_a_prompt_of_other_things_than_ints_opens_nothing(tokens: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "jaxtyping_disable", True)  # as users have it
    sessions = Sessions(Engine(tiny()))
    with pytest.raises(PromptError, match="the ids of the prompt to be of type int, got"):
        sessions.open(tokens, Sampling(), NEEDS[0])


def test_abandoned_sessions_make_room_for_the_next_one() -> None:
    sessions = Sessions(Engine(tiny()))
    one, other = ready(sessions, [Sampling(), Sampling()])
    sessions.abandon([one.session, None])
    third = opened(sessions, prompt(4), Sampling())

    assert {other.session.slot.index, third.session.slot.index} == {0, 1}


def test_abandoned_sessions_give_back_their_memory_when_another_leaves() -> None:
    sessions = Sessions(Engine(tiny()))
    one, other = ready(sessions, [Sampling(), Sampling()])
    sessions.abandon([one.session])
    sessions.close(other.session)

    assert sessions.engine.cache.nbytes == 0
