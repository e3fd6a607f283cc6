"""A session beside the text that its prompt gives alone."""

from collections.abc import Sequence
from random import Random

from attrs import define, frozen
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from specdec import Encoder, Features, Needs, Sampling, Tree
from specdec.target.sessions import Decision, Session, Sessions
from tests.plain import decode_plainly
from tests.specdec.grid import SAMPLINGS
from tests.toys import VOCAB, prompt, tiny

COUNT = 40
"""Tokens of a text, more than any session here comes to."""


@frozen(eq=False)
class Sums(Encoder):
    """Makes one number of each token, by itself."""

    def encode(self, features: Features) -> Float[Tensor, "B K ..."]:
        assert features.keys is not None
        return features.keys.sum((2, 3, 4))


NAMES = list(SAMPLINGS)
NEEDS = [Needs(), Needs((-1,)), Needs((0, 2), (1,)), Needs((), (0, 1)), Needs((), (1, 0), Sums())]


@define(eq=False)
class Alone:
    """A session, and what its prompt says by itself."""

    session: Session
    prompt: list[int]
    text: tuple[int, ...]
    said: int = 0

    @property
    def coming(self) -> tuple[int, ...]:
        return self.text[self.said :]

    def tree(self, random: Random, most: int = 6) -> Tree:
        """Make a tree of any shape, in which the right tokens are more frequent than by chance."""
        tree = Tree.root(self.session.prefix.tokens[-1])
        for _ in range(random.randrange(most)):
            parent = random.randrange(len(tree))
            right = self.coming[tree.depths[parent]]
            tree = tree.place([(right if random.random() < 0.5 else random.randrange(VOCAB), parent, 0.0)])
        return tree

    def check(self, tree: Tree, decision: Decision | Exception) -> None:
        """What was decided is the longest path of the tree that the text takes, and one token more."""
        assert isinstance(decision, Decision), decision
        path = tree.follow(self.coming)
        assert decision.tokens == [*self.coming[: len(path) + 1]]
        assert [*decision.nodes] == [0, *path]
        assert decision.start == len(self.prompt) + self.said - 1
        self.said += len(decision.tokens)


def opened(
    sessions: Sessions,
    tokens: list[int],
    sampling: Sampling,
    needs: Needs = NEEDS[0],
    model: PreTrainedModel | None = None,
    count: int = COUNT,
) -> Alone:
    text = decode_plainly(model or tiny(), tuple(tokens), sampling, count)
    return Alone(sessions.open(tokens, sampling, needs), tokens, text)


def ready(sessions: Sessions, samplings: Sequence[Sampling], needs: Needs = NEEDS[0]) -> list[Alone]:
    """Open a session for each sampling, their prompts of different lengths, and read these."""
    alone = [opened(sessions, prompt(3 + number), sampling, needs) for number, sampling in enumerate(samplings)]
    while any(one.session.unread for one in alone):
        sessions.read([one.session for one in alone])
    return alone
