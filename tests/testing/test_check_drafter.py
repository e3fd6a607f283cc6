"""Drafters that ship pass the check, and what is wrong in a way of its own fails it."""

import pytest

from specdec import Drafter, Tree
from specdec.drafters import Ngram, NoDrafter, Retrieval, SmallModel
from specdec.drafters.datastore import Datastore
from specdec.policies import Chain
from specdec.testing import check_drafter, toy_model


def retrieval() -> Retrieval:
    return Retrieval(Datastore.of([range(8), range(7, 0, -2), [3] * 9]))


@pytest.mark.parametrize("drafter", [NoDrafter, Ngram, retrieval, lambda: SmallModel(toy_model(noise=0.02))])
def test_drafters_pass(drafter):
    check_drafter(lambda target: drafter())


class Forgetful(SmallModel):
    """Does not forget the last batch."""

    def begin(self, context):
        if not self._slots:
            super().begin(context)


class Rootless(NoDrafter):
    def propose(self, context, policy):
        return [tree and Tree.root((tree.tokens[0] + 1) % 16) for tree in super().propose(context, policy)]


class TooDeep(NoDrafter):
    def propose(self, context, policy):
        return [tree and Tree.of([tree.tokens[0]] * 13, range(-1, 12)) for tree in super().propose(context, policy)]


class Lazy(NoDrafter):
    """Has nothing for a sequence, which thereby leaves."""

    def propose(self, context, policy):
        return [*super().propose(context, policy)[:-1], None]


class DraftsForTheDone(Drafter):
    def propose(self, context, policy):
        return [Tree.root(tokens[-1]) for tokens in context.tokens]


class Strangers(NoDrafter):
    """Drafts tokens that the target does not know."""

    def propose(self, context, policy):
        trees = super().propose(context, policy)
        return [tree and tree.place([(16, 0, 0.0)]) for tree in trees]


class Decides(NoDrafter):
    """Writes its own guess into the text."""

    def propose(self, context, policy):
        for tokens in context.tokens:
            tokens[-1] = 0
        return super().propose(context, policy)


class Misspelt(NoDrafter):
    """Names a policy that there is not."""

    policy = "chian"


class ClosedForGood(NoDrafter):
    """Has nothing left to draft with once it is closed."""

    parts = ("all",)

    def close(self):
        self.parts = ()

    def propose(self, context, policy):
        if not self.parts:
            raise ValueError("nothing to draft with")
        return super().propose(context, policy)


@pytest.mark.parametrize(
    ("drafter", "why"),
    [
        (Rootless, "to have root"),
        (TooDeep, "levels"),
        (Lazy, "None for each sequence that is done"),
        (DraftsForTheDone, "None for each sequence that is done"),
        (Strangers, "tokens of sequence 0"),
        (Decides, "leave the context"),
    ],
)
def test_drafters_that_do_not_fit_are_found(drafter, why):
    with pytest.raises(AssertionError, match=why) as error:
        check_drafter(lambda target: drafter())
    assert "at temperature 0" in str(error.value)


def test_a_policy_that_there_is_not_is_found():
    with pytest.raises(AssertionError, match=r"no policy is called 'chian'.*; the drafter's own policy"):
        check_drafter(lambda target: Misspelt())


def test_a_drafter_that_is_of_no_use_after_it_was_closed_is_found():
    with pytest.raises(AssertionError, match=r"nothing to draft with; .*, after the drafter was closed"):
        check_drafter(lambda target: ClosedForGood(), policies=[Chain(1)])


def test_a_drafter_that_does_not_forget_is_found():
    with pytest.raises(AssertionError):
        check_drafter(lambda target: Forgetful(toy_model(noise=0.02)))
