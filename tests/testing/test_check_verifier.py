"""The local verifier passes the check, and what is wrong in a way of its own fails it."""

from copy import copy

import pytest
from attrs import evolve

from specdec import Target
from specdec.testing import check_verifier, toy_model


def test_the_local_verifier_passes():
    check_verifier(lambda: Target(toy_model()), examples=6, steps=6)


class Slips(Target):
    """Forgets a token now and then."""

    def verify(self, trees):
        step = super().verify(trees)
        for session in self._batch:
            if session is not None and len(session.prefix.tokens) % 3 == 0:
                session.slot.length -= 1
        return step


class OneBatch(Target):
    """Gives views that share a batch."""

    def view(self):
        return copy(self)


class Adopts(Target):
    """Takes any root for the sequence's own."""

    def verify(self, trees):
        mended = []
        for tree, session in zip(trees, self._batch, strict=True):
            fits = tree is not None and session is not None
            mended.append(evolve(tree, tokens=[session.prefix.tokens[-1], *tree.tokens[1:]]) if fits else tree)
        return super().verify(mended)


class Rewrites(Target):
    """Writes to the trees that it is given."""

    def verify(self, trees):
        step = super().verify(trees)
        for tree in trees:
            if tree is not None:
                tree.tokens[0] = -1
        return step


@pytest.mark.parametrize("verifier", [Slips, OneBatch, Adopts, Rewrites])
def test_verifiers_that_break_promises_are_found(verifier):
    with pytest.raises(Exception, match=r"expected|out of|size|index"):
        check_verifier(lambda: verifier(toy_model()), shrink=False)
