"""One batch of a verifier that is being checked. Needs hypothesis."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from attrs import define, field
from hypothesis import strategies as st

from specdec.errors import InputError, PromptError, TreeError
from specdec.features import Needs
from specdec.interfaces import Verifier
from specdec.options import Sampling
from specdec.testing.guards import checking, described, unchanged
from specdec.testing.strategies import batches
from specdec.tree import Tree

TEMPERATURES = (0.0, 1.0)


@define(eq=False)
class Batch:
    """Calls a verifier, and knows from another one, fed one sequence at a time, what it must decide."""

    verifier: Verifier
    alone: Verifier
    tokens: list[list[int]] = field(factory=list)
    active: list[bool] = field(factory=list)
    sampling: tuple[Sampling, ...] = ()

    def prefill(self, data: Any) -> None:
        """Begin, after prompts that are refused and end nothing."""
        for wrong in ([], [0, self.verifier.vocab_size]):
            _expect(PromptError, self.verifier.prefill, [[0], wrong], Needs(), Sampling().spread(2))
        if any(self.active):
            self._decide(self._roots())
        self.tokens = data.draw(batches(self._vocab, count=3, longest=6))
        self.active = [True] * len(self.tokens)
        self.sampling = Sampling(temperature=data.draw(st.sampled_from(TEMPERATURES)), seed=11).spread(len(self.tokens))
        step = self.verifier.prefill([list(prompt) for prompt in self.tokens], Needs(), self.sampling)
        if [list(tokens) for tokens in step.tokens] != [prompt[1:] for prompt in self.tokens]:
            raise AssertionError(f"expected the prompts from their second token on, got {step.tokens}")

    def verify(self, data: Any) -> None:
        """Verify trees of any shape, half of whose nodes are what will be decided."""
        if any(self.active):
            trees = self._roots()
            self._decide([tree and self._grow(data, number, tree) for number, tree in enumerate(trees)])

    def leave(self, data: Any) -> None:
        """Give a sequence no tree from now on: it has left for good."""
        numbers = [number for number, active in enumerate(self.active) if active]
        if len(numbers) > 1:
            self.active[data.draw(st.sampled_from(numbers))] = False
            self._decide(self._roots())

    def mistake(self) -> None:
        """Make trees that do not fit their sequence, one at a time."""
        for number, root in enumerate(self._roots()):
            others = self._roots()
            for wrong in _wrong(root, self.verifier.vocab_size) if root else [Tree.root(self.tokens[number][-1])]:
                _expect(TreeError, self.verifier.verify, [*others[:number], wrong, *others[number + 1 :]])
        _expect(TreeError, self.verifier.verify, [*self._roots(), None])

    @property
    def _vocab(self) -> int:
        return min(self.verifier.vocab_size, 16)

    def _roots(self) -> list[Tree | None]:
        pairs = zip(self.tokens, self.active, strict=True)
        return [Tree.root(tokens[-1]) if active else None for tokens, active in pairs]

    def _grow(self, data: Any, number: int, tree: Tree) -> Tree:
        for _ in range(data.draw(st.integers(0, 4))):
            parent = data.draw(st.integers(0, len(tree) - 1))
            token = data.draw(st.none() | st.integers(0, self._vocab - 1))
            if token is None:
                path = [tree.tokens[node] for node in tree.path(parent)]
                token = self._next(number, self.tokens[number] + path)
            tree = tree.place([(token, parent, 0.0)])
        return tree

    def _next(self, number: int, tokens: list[int]) -> int:
        """Have a new batch of this sequence alone say its next token."""
        self.alone.prefill([tokens], Needs(), [self.sampling[number]])
        return self.alone.verify([Tree.root(tokens[-1])]).tokens[0][0]

    def _decide(self, trees: Sequence[Tree | None]) -> None:
        with ExitStack() as guards:
            for tree in trees:
                if tree is not None:
                    guards.enter_context(checking(described(tree)))
                    guards.enter_context(unchanged(tree, "the verifier"))
            step = self.verifier.verify(trees)
            for number, decided in enumerate(step.tokens):
                self._check(number, decided, step.accepted[number])

    def _check(self, number: int, decided: list[int], accepted: int) -> None:
        if not self.active[number]:
            if decided:
                raise AssertionError(f"expected nothing for sequence {number}, which has left, got {decided}")
            return
        if not decided or accepted != len(decided) - 1:
            raise AssertionError(
                f"expected the accepted tokens and one more for sequence {number}, got {decided}, {accepted} accepted"
            )
        for token in decided:
            expected = self._next(number, self.tokens[number])
            if token != expected:
                raise AssertionError(f"expected sequence {number} to continue with {expected}, got {token}")
            self.tokens[number].append(token)


def _wrong(root: Tree, vocab: int) -> list[Tree]:
    """Give another root, a token outside the vocabulary, and a child before its parent."""
    token = root.tokens[0]
    return [
        Tree.root((token + 1) % vocab),
        root.place([(vocab, 0, 0.0)]),
        Tree([token, 0, 0], [-1, 2, 0], [0.0, 0.0, 0.0], [0, 2, 1]),
    ]


def _expect(kind: type[InputError], call: Callable[..., object], *arguments: object) -> None:
    try:
        call(*arguments)
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__} for {arguments}")
