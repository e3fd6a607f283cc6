"""What ships passes the checks, and what is wrong in a way of its own fails them."""

from copy import copy
from queue import Empty, SimpleQueue

import pytest
from attrs import evolve, field, frozen

from specdec import Drafter, Target, Transport, Tree
from specdec.drafters import Ngram, NoDrafter, SmallModel
from specdec.errors import ConnectionLost, NonFiniteLogits, TimedOut
from specdec.interfaces import Walk
from specdec.policies import Adaptive, Chain, Dynamic, Hybrid, Sequoia, Static
from specdec.rules import Lenient, Match, Rejection, Traversal, Typical
from specdec.testing import (
    check_drafter,
    check_policy,
    check_rule,
    check_transport,
    check_verifier,
    toy_model,
)

POLICIES = {
    "chain": Chain,
    "drawn chain": lambda: Chain(3, sampled=True),
    "static": Static,
    "drawn": lambda: Static((2, 2), sampled=True),
    "hybrid": Hybrid,
    "dynamic": Dynamic,
    "sequoia": Sequoia.fitted,
    "drawn sequoia": lambda: Sequoia.fitted(size=5, sampled=True),
    "adaptive": Adaptive,
}


@pytest.mark.parametrize("rule", [Match, Rejection, Traversal, Typical, Lenient])
def test_rules_pass(rule):
    check_rule(rule, nodes=2)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_policies_pass(policy):
    check_policy(policy)


@pytest.mark.parametrize("drafter", [NoDrafter, Ngram, lambda: SmallModel(toy_model(noise=0.02))])
def test_drafters_pass(drafter):
    check_drafter(lambda target: drafter())


def test_the_local_verifier_passes():
    check_verifier(lambda: Target(toy_model()), examples=6, steps=6)


def test_a_queue_is_a_transport():
    check_transport(queues)


def test_a_rule_that_overstates_itself_is_found():
    class Wrong(Typical):
        exact = True

    with pytest.raises(AssertionError, match="total variation"):
        check_rule(Wrong, nodes=2)


def test_a_rule_that_leaves_the_tree_is_found():
    class Wrong(Match):
        def walk(self, tree, probs, dice):
            walk = super().walk(tree, probs, dice)
            return Walk(walk.path[::-1], walk.bonus)

    with pytest.raises(AssertionError, match="child down"):
        check_rule(Wrong)


class OneSequence(Match):
    """Decides on all sequences as if they were sampled like the first."""

    def decide(self, trees, logits, prefixes):
        return super().decide(trees, logits, [evolve(prefix, sampling=prefixes[0].sampling) for prefix in prefixes])


class OneSpoilsAll(Match):
    def decide(self, trees, logits, prefixes):
        walks = super().decide(trees, logits, prefixes)
        return next(([walk] * len(walks) for walk in walks if isinstance(walk, Exception)), walks)


class ReadsPadding(Match):
    """Refuses logits that are not finite, were they nobody's."""

    def decide(self, trees, logits, prefixes):
        walks = super().decide(trees, logits, prefixes)
        finite = logits.isfinite().all(-1).all(-1).tolist()
        return [walk if fine else NonFiniteLogits() for walk, fine in zip(walks, finite, strict=True)]


class Hides(Match):
    """Takes what failed for nothing accepted."""

    def decide(self, trees, logits, prefixes):
        walks = super().decide(trees, logits, prefixes)
        return [Walk([], 0) if isinstance(walk, Exception) else walk for walk in walks]


@pytest.mark.parametrize("rule", [OneSequence, OneSpoilsAll, ReadsPadding, Hides])
def test_rules_that_decide_otherwise_on_batches_are_found(rule):
    with pytest.raises(AssertionError, match="expected decide to give"):
        check_rule(rule, nodes=0)


class Negative(Chain):
    def widths(self, tree):
        return {node: -width for node, width in super().widths(tree).items()}


class Fractional(Chain):
    def widths(self, tree):
        return dict.fromkeys(super().widths(tree), 0.5)


class Elsewhere(Chain):
    """Wants children of a node that is not there."""

    def widths(self, tree):
        return {len(tree): 1} if len(tree) < 3 else {}


class Orphans(Static):
    def keep(self, tree):
        return [node for node, depth in enumerate(tree.depths) if depth != 1]


class Mask(Static):
    """Answers whether to keep each node, where the nodes are wanted."""

    def keep(self, tree):
        return [depth < 2 for depth in tree.depths]


class WritesProbs(Hybrid):
    """Has the tree say that it was drawn from other probabilities."""

    def widths(self, tree):
        for probs in tree.probs.values():
            probs[:] = probs[::-1].copy()
        return super().widths(tree)


class WritesTokens(Static):
    def keep(self, tree):
        tree.tokens[-1] = 0
        return super().keep(tree)


class WritesLeaves(Static):
    """Writes to what the tree has worked out of its own lists."""

    def widths(self, tree):
        tree.leaves.append(0)
        return super().widths(tree)


@frozen
class Remembers(Static):
    """Has shapes for a few answers only."""

    seen: list = field(factory=list, repr=False)

    def widths(self, tree):
        self.seen.append(tree)
        return super().widths(tree) if len(self.seen) < 8 else {}


@frozen
class Neighbours(Static):
    """Grows the first of its trees only."""

    roots: list = field(factory=list, repr=False)

    def widths(self, tree):
        if tree.depth == 0:
            self.roots.append(tree.tokens)
        return super().widths(tree) if len({id(tokens) for tokens in self.roots}) == 1 else {}


class Endless(Chain):
    """Relies on the room that a sequence has."""

    def widths(self, tree):
        return dict.fromkeys(tree.leaves, 1)


class EndlessWhenSure(Chain):
    """Ends by the drafter's doubts, and not where it has none."""

    def widths(self, tree):
        return {node: 1 for node in tree.leaves if tree.scores[node] > -2}


class Fails(Chain):
    def widths(self, tree):
        return {0: 1 // (2 - len(tree))}


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (Negative, "whole widths of at least 0"),
        (Fractional, "whole widths of at least 0"),
        (Elsewhere, "widths of nodes 0 to 0"),
        (Orphans, "orphans"),
        (Mask, "numbers of nodes to keep"),
        (WritesProbs, "leave the tree"),
        (WritesTokens, "leave the tree"),
        (WritesLeaves, "leave the tree"),
        (Remembers, "same widths|same tree"),
        (Neighbours, "same widths|same tree"),
        (Endless, "growth to end"),
        (EndlessWhenSure, "growth to end"),
        (Fails, "ZeroDivisionError"),
    ],
)
def test_policies_that_do_more_than_shape_are_found(policy, why):
    shared = policy()
    with pytest.raises(AssertionError, match=why) as error:
        check_policy(lambda: shared)
    assert str(shared) in str(error.value)
    assert "at temperature" in str(error.value)
    assert "a tree of tokens [0" in str(error.value) or why == "growth to end"


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


def test_a_drafter_that_does_not_forget_is_found():
    with pytest.raises(AssertionError):
        check_drafter(lambda target: Forgetful(toy_model(noise=0.02)))


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


CLOSED = object()


class Queue(Transport):
    """One end of a pair of queues."""

    def __init__(self, inbox: SimpleQueue, outbox: SimpleQueue) -> None:
        self.inbox, self.outbox, self.closed = inbox, outbox, False

    def send(self, message: bytes) -> None:
        if self.closed:
            raise ConnectionLost("closed")
        self.outbox.put(message)

    def receive(self, timeout: float | None = None) -> bytes:
        if self.closed:
            raise ConnectionLost("closed")
        try:
            message = self.inbox.get(timeout=timeout) if timeout != 0 else self.inbox.get_nowait()
        except Empty:
            raise TimedOut("nothing came") from None
        if message is CLOSED:
            self.closed = True
            raise ConnectionLost("closed by the other end")
        return message

    def close(self) -> None:
        self.closed = True
        self.outbox.put(CLOSED)


def queues(near=Queue, far=Queue):
    there, back = SimpleQueue(), SimpleQueue()
    return near(back, there), far(there, back)


class Reordering(Queue):
    def receive(self, timeout=None):
        first = super().receive(timeout)
        if self.inbox.empty():
            return first
        self.outbox, kept = self.outbox, super().receive(timeout)
        self.inbox.put(first)
        return kept


class Silent(Queue):
    """Takes a broken pipe for silence."""

    def receive(self, timeout=None):
        try:
            return super().receive(timeout)
        except ConnectionLost:
            raise TimedOut("nothing came") from None


class Chopping(Queue):
    def send(self, message):
        super().send(message[:100])


@pytest.mark.parametrize("end", [Reordering, Silent, Chopping])
def test_transports_that_break_promises_are_found(end):
    with pytest.raises(AssertionError):
        check_transport(lambda: queues(end, end))
