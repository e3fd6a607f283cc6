"""The state machine by which verifiers are checked. Needs hypothesis."""

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from specdec.errors import PromptError, TreeError
from specdec.features import Needs
from specdec.interfaces import Verifier
from specdec.nodes import PADDING
from specdec.options import Sampling
from specdec.testing.strategies import batches
from specdec.tree import Tree

TEMPERATURES = (0.0, 1.0)


class VerifierMachine(RuleBasedStateMachine):
    """Calls a verifier in any order, and knows from another one, asked row by row, what it must say."""

    make: Callable[[], Verifier]

    def __init__(self) -> None:
        super().__init__()
        self.verifier, self.alone = self.make(), self.make()
        self.rows: list[list[int]] = []
        self.there: list[bool] = []

    @initialize(data=st.data())
    def begin(self, data: Any) -> None:
        self._prefill(data)

    @rule(data=st.data())
    def begin_again(self, data: Any) -> None:
        self._prefill(data)

    @precondition(lambda self: any(self.there))
    @rule(data=st.data())
    def verify(self, data: Any) -> None:
        """Trees of any shape, half of whose nodes are what will be said."""
        tree = Tree.root(self._roots())
        for _ in range(data.draw(st.integers(0, 4))):
            parents = torch.tensor([[data.draw(st.integers(0, tree.tokens.shape[1] - 1))] for _ in self.rows])
            tokens = torch.tensor([[data.draw(st.integers(0, self._vocab - 1))] for _ in self.rows])
            usable = tree.nodes.gather(1, parents)
            right = torch.tensor([[self._next(row, tree, int(parents[row]))] for row in range(len(self.rows))])
            tokens = torch.where(torch.tensor(data.draw(st.booleans())) & (right >= 0), right, tokens)
            tree = tree.place(tokens.masked_fill(~usable, PADDING), parents, torch.zeros(len(self.rows), 1))
        self._decide(tree)

    @precondition(lambda self: sum(self.there) > 1)
    @rule(data=st.data())
    def leave(self, data: Any) -> None:
        """A row whose root is padding is gone for good."""
        self.there[data.draw(st.sampled_from([row for row, there in enumerate(self.there) if there]))] = False

    @precondition(lambda self: any(self.there))
    @rule()
    def mistake(self) -> None:
        """A wrong root, a wrong token and a wrong batch are refused."""
        roots = self._roots()
        wrong = Tree.root(torch.where(roots >= 0, (roots + 1) % self._vocab, roots))
        outside = torch.where(roots >= 0, self._vocab, PADDING)[:, None]
        beyond = Tree.root(roots).place(outside, torch.zeros_like(outside), torch.zeros(len(roots), 1))
        for tree in (wrong, beyond, Tree.root(torch.cat([roots, roots]))):
            try:
                self.verifier.verify(tree)
            except TreeError:
                continue
            raise AssertionError("expected TreeError for a tree that does not fit the batch")

    def teardown(self) -> None:
        self.verifier.close()
        self.alone.close()

    @property
    def _vocab(self) -> int:
        return min(self.verifier.vocab_size, 16)

    def _prefill(self, data: Any) -> None:
        self.rows = data.draw(batches(self._vocab, rows=3, longest=6))
        self.there = [True] * len(self.rows)
        warm = data.draw(st.sampled_from(TEMPERATURES))
        self.sampling = Sampling(temperature=warm, seed=11).spread(len(self.rows))
        width = max(map(len, self.rows))
        tokens = torch.tensor([row + [PADDING] * (width - len(row)) for row in self.rows])
        lengths = torch.tensor([len(row) for row in self.rows])
        step = self.verifier.prefill(tokens, lengths, Needs(), self.sampling)
        if step.lengths.tolist() != (lengths - 1).tolist():
            raise AssertionError(f"expected the prompts from their second token on, got {step.lengths.tolist()} tokens")
        try:
            self.verifier.prefill(tokens, lengths * 0, Needs(), self.sampling)
        except PromptError:
            return
        raise AssertionError("expected PromptError for an empty prompt")

    def _roots(self) -> torch.Tensor:
        return torch.tensor([row[-1] if there else PADDING for row, there in zip(self.rows, self.there, strict=True)])

    def _next(self, row: int, tree: Tree, node: int) -> int:
        """What would be said after a node; -1 where there is none."""
        if not self.there[row] or int(tree.tokens[row, node]) < 0:
            return PADDING
        path = tree.tokens[row, tree.path(row, node)].tolist()
        return self._say(row, self.rows[row] + path)

    def _say(self, row: int, tokens: list[int]) -> int:
        """Have a fresh batch of this row alone say its next token."""
        self.alone.prefill(torch.tensor([tokens]), torch.tensor([len(tokens)]), Needs(), [self.sampling[row]])
        return int(self.alone.verify(Tree.root(torch.tensor([tokens[-1]]))).tokens[0, 0])

    def _decide(self, tree: Tree) -> None:
        step = self.verifier.verify(tree)
        for row, length in enumerate(step.lengths.tolist()):
            if not self.there[row]:
                if length:
                    raise AssertionError(f"expected nothing for row {row}, which has left, got {length} tokens")
                continue
            if length < 1 or int(step.accepted[row]) != length - 1:
                raise AssertionError(f"expected the accepted tokens and one more, got {length} of row {row}")
            for token in step.tokens[row, :length].tolist():
                expected = self._say(row, self.rows[row])
                if token != expected:
                    raise AssertionError(f"expected row {row} to go on with {expected}, got {token}")
                self.rows[row].append(token)
