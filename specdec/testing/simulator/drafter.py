"""Drafters: one that guesses right often enough, and one that looks closely at what it is given."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from specdec.context import Context
from specdec.features import Needs
from specdec.interfaces import Drafter, TreePolicy
from specdec.testing.simulator import law
from specdec.testing.simulator.violation import Violation
from specdec.testing.simulator.world import World
from specdec.text import in_common
from specdec.tree import Tree


class ToyDrafter(Drafter):
    """Drafts a path, and sometimes a sibling of it; right about as often as it was made to be."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.needs = world.pick((Needs(), Needs((0,)), Needs((0, 2)), Needs((1,), only_last=True)))
        self.accuracy = world.between(0.3, 0.95)

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        rows = zip(context.tokens, context.sampling, context.room, context.done, strict=True)
        return [None if done else self._draft(tokens, one.seed, room) for tokens, one, room, done in rows]

    def _draft(self, tokens: list[int], seed: int, room: int) -> Tree:
        tree, state = Tree.root(tokens[-1]), law.after(tokens)
        for depth in range(min(self.world.random.randrange(5), room)):
            right = self.world.chance(self.accuracy)
            token = law.say(seed, state) if right else self.world.random.randrange(law.VOCABULARY)
            parent = tree.leaves[0]
            tree = tree.place([(token, parent, -0.1 * depth)])
            if self.world.chance(0.3):
                tree = tree.place([((token + 1) % law.VOCABULARY, parent, -9.0)])
            state = law.after([token], state)
        return tree


class WatchedDrafter(Drafter):
    """Lets a drafter draft, which takes time, and checks what it is given."""

    def __init__(self, drafter: Drafter, world: World, wait: Callable[[float], None]) -> None:
        self.drafter, self.world, self.wait = drafter, world, wait
        self.needs, self.vocab_size = drafter.needs, drafter.vocab_size
        self._seen: list[list[int]] = []

    def begin(self, context: Context) -> None:
        self._seen = [list(tokens) for tokens in context.tokens]
        self.drafter.begin(context)

    def unread(self, context: Context) -> int:
        return self.drafter.unread(context)

    def cut(self, lengths: Sequence[int]) -> None:
        self._seen = [tokens[:length] for tokens, length in zip(self._seen, lengths, strict=True)]
        self.drafter.cut(lengths)

    def propose(self, context: Context, policy: TreePolicy) -> list[Tree | None]:
        self._look(context)
        self.wait(self.world.between(0.001, 0.05))
        return self.drafter.propose(context, policy)

    def close(self) -> None:
        self.drafter.close()

    def _look(self, context: Context) -> None:
        """Check that features are of the tokens they are said to be of, and that no text changed unannounced."""
        for number, (tokens, seen) in enumerate(zip(context.tokens, self._seen, strict=True)):
            if in_common(tokens, seen) < len(seen):
                raise Violation(f"I2: the drafter was not told that sequence {number} was cut below {len(seen)} tokens")
        self._seen = [list(tokens) for tokens in context.tokens]
        for part in context.features:
            for number, (start, length) in enumerate(zip(part.starts, part.lengths, strict=True)):
                if length and part.features.hidden is not None:
                    self._check(context.tokens[number], start, part.features.hidden[number, :length])

    def _check(self, tokens: list[int], start: int, hidden: Float[Tensor, "K L E"]) -> None:
        end = start + len(hidden)
        if not 0 <= start < end <= len(tokens):
            raise Violation(f"I2: features of tokens {start} to {end} of {len(tokens)}")
        expected = law.hidden_states(tokens, start, end, self.needs.hidden_states)
        if not torch.allclose(hidden, expected, atol=0.2):
            raise Violation(f"I5: features of tokens {start} to {end} are those of another text or place")
