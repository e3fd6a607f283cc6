"""What ships passes the checks, and what is wrong in a way of its own fails them."""

from queue import Empty, SimpleQueue

import pytest
import torch
from attrs import field, frozen

from specdec import Drafter, Target, Transport, Tree, TreePolicy
from specdec.drafters import Ngram, NoDrafter, SmallModel
from specdec.errors import ConnectionLost, TimedOut
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
        def walk(self, tree, row, law, dice):
            walk = super().walk(tree, row, law, dice)
            return Walk(walk.path[::-1], walk.token)

    with pytest.raises(AssertionError, match="child down"):
        check_rule(Wrong)


class Negative(Chain):
    def widths(self, tree):
        return -super().widths(tree)


class Orphans(Static):
    def keep(self, tree):
        return tree.depths != 1


class Writes(Hybrid):
    """Has the tree say that it was drawn from another law."""

    def widths(self, tree):
        for law in tree.laws.values():
            law[:] = law[::-1].copy()
        return super().widths(tree)


@frozen
class Remembers(Static):
    seen: list = field(factory=list)

    def widths(self, tree):
        self.seen.append(1)
        return super().widths(tree) * (len(self.seen) < 4)


class Neighbours(Static):
    def widths(self, tree):
        return super().widths(tree).clamp(max=3 - len(tree.tokens) + 1)


@pytest.mark.parametrize("policy", [Negative, Orphans, Writes, Remembers, Neighbours])
def test_policies_that_do_more_than_shape_are_found(policy):
    shared = policy()
    with pytest.raises(AssertionError):
        check_policy(lambda: shared)


class Forgetful(SmallModel):
    """Does not forget the last batch."""

    def begin(self, context):
        if not self._slots:
            super().begin(context)


class Rootless(Drafter):
    def propose(self, context, policy: TreePolicy):
        return Tree.root(torch.where(context.roots >= 0, 1, -1))


class TooDeep(Drafter):
    def propose(self, context, policy: TreePolicy):
        tree = Tree.root(context.roots)
        for node in range(12):
            tokens = torch.where(tree.nodes[:, :1], 1, -1)
            tree = tree.place(tokens, torch.full_like(tokens, node), torch.zeros(tokens.shape))
        return tree


@pytest.mark.parametrize("drafter", [Rootless, TooDeep])
def test_drafters_that_do_not_fit_are_found(drafter):
    with pytest.raises(AssertionError):
        check_drafter(lambda target: drafter())


def test_a_drafter_that_does_not_forget_is_found():
    with pytest.raises((AssertionError, IndexError, RuntimeError, ValueError)):
        check_drafter(lambda target: Forgetful(toy_model(noise=0.02)))


def test_a_verifier_that_forgets_what_it_read_is_found():
    class Wrong(Target):
        def verify(self, tree):
            step = super().verify(tree)
            for row in self._rows:
                if row is not None and len(row.tokens) % 3 == 0:
                    row.slot.length -= 1
            return step

    with pytest.raises(Exception, match=r".*"):
        check_verifier(lambda: Wrong(toy_model()), shrink=False)


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
