"""Drafters and verifiers with a clock around the call that each step makes of them."""

from collections.abc import Sequence
from typing import Any

from specdec.bench.contender import Clock
from specdec.context import Context, Step
from specdec.features import Needs
from specdec.interfaces import Drafter, TreePolicy, Verifier
from specdec.options import Sampling
from specdec.tree import Tree


class ClockedDrafter(Drafter):
    """Adds up the seconds spent in `begin` and `propose`."""

    def __init__(self, inner: Drafter, clock: Clock) -> None:
        self.inner, self.clock, self.seconds = inner, clock, 0.0
        self.needs, self.vocab_size = inner.needs, inner.vocab_size

    def begin(self, context: Context) -> None:
        start = self.clock()
        self.inner.begin(context)
        self.seconds += self.clock() - start

    def propose(self, context: Context, policy: TreePolicy) -> Tree:
        start = self.clock()
        tree = self.inner.propose(context, policy)
        self.seconds += self.clock() - start
        return tree

    def close(self) -> None:
        self.inner.close()


class ClockedVerifier(Verifier):
    """Adds up the seconds spent in `verify`; it has no tokenizer, so that no text is made on the clock."""

    def __init__(self, inner: Verifier, clock: Clock) -> None:
        self.inner, self.clock, self.seconds = inner, clock, 0.0
        self.vocab_size, self.max_length, self.end_tokens = inner.vocab_size, inner.max_length, inner.end_tokens

    def prefill(self, tokens: Any, lengths: Any, needs: Needs, sampling: Sequence[Sampling]) -> Step:
        return self.inner.prefill(tokens, lengths, needs, sampling)

    def verify(self, tree: Tree) -> Step:
        start = self.clock()
        step = self.inner.verify(tree)
        self.seconds += self.clock() - start
        return step

    def close(self) -> None:
        self.inner.close()
