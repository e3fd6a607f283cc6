"""Generation that continues when the target is out of reach."""

from collections.abc import Sequence
from sys import maxsize

from attrs import define, field

from specdec.context import FeaturesAt, Step
from specdec.errors import ConnectionLost, TimedOut
from specdec.features import Needs
from specdec.interfaces import Verifier
from specdec.options import Sampling
from specdec.remote.verifier import Remote
from specdec.text import in_common
from specdec.tree import Tree


class DraftOnly(Verifier):
    """Takes the drafter at its word: of each tree the likeliest path, unverified.

    In `Failover` it is silent after `most` tokens of a sequence.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most

    def prefill(self, prompts: Sequence[Sequence[int]], needs: Needs, sampling: Sequence[Sampling]) -> Step:
        return Step([list(prompt[1:]) for prompt in prompts], [0] * len(prompts), verified=False)

    def verify(self, trees: Sequence[Tree | None]) -> Step:
        paths = [[] if tree is None else _likeliest(tree) for tree in trees]
        return Step(paths, list(map(len, paths)), verified=False)


@define(eq=False)
class Away:
    """What was said since the target was last heard of, when sequences had the lengths `starts`.

    `heard` is what the target has said of it since.
    """

    starts: list[int]
    said: list[list[int]]
    heard: list[list[int]]
    late: list[FeaturesAt] = field(factory=list)

    @classmethod
    def of(cls, remote: Remote) -> "Away":
        """Begin with nothing said; sequences that have left are never cut."""
        starts = [maxsize if text is None else len(text.tokens) for text in remote.texts]
        return cls(starts, [[] for _ in starts], [[] for _ in starts])

    def undecided(self, number: int) -> list[int]:
        """Give what was said that the target has not decided on, if it agreed with all before."""
        said, heard = self.said[number], self.heard[number]
        return said[len(heard) :] if said[: len(heard)] == heard else []

    def step(self) -> Step:
        """Put what was heard in the place of what was said."""
        accepted = [in_common(*pair) for pair in zip(self.said, self.heard, strict=True)]
        return Step(self.heard, accepted, late=tuple(self.late), starts=self.starts)


class Failover(Verifier):
    """Verifies with a server, and while it is out of reach lets the drafter continue alone.

    What is said alone is unverified. When the server is back, it gets that as one long draft: what the target agrees
    with stays, the rest is taken back and the target's own comes in its place. With `keep` it stays all the same, and
    the target continues from there. Where the drafter has nothing to say, the target is waited for, at most `silence`
    seconds.
    """

    def __init__(
        self, first: Remote, second: DraftOnly | None = None, *, keep: bool = False, silence: float = 60.0
    ) -> None:
        self.first, self.second, self.keep, self.silence = first, second or DraftOnly(), keep, silence
        self.vocab_size, self.max_length, self.end_tokens = first.vocab_size, first.max_length, first.end_tokens
        self.length_advice, self.tokenizer, self.repeatable = first.length_advice, first.tokenizer, first.repeatable
        self.files, self.generation_config = first.files, first.generation_config
        self._away: Away | None = None
        self._restored = self._silent = False

    @property
    def online(self) -> bool:
        """Whether the target was within reach when it was asked last."""
        return self.first.link.heard

    def view(self) -> "Failover":
        return Failover(self.first.view(), self.second, keep=self.keep, silence=self.silence)

    def prefill(self, prompts: Sequence[Sequence[int]], needs: Needs, sampling: Sequence[Sampling]) -> Step:
        self._away, self._restored = None, self.first.journal is not None
        return self.first.prefill(prompts, needs, sampling)

    def verify(self, trees: Sequence[Tree | None]) -> Step:
        if self._restored and not self.first.restored:
            self._restored = False
            rows = zip(trees, self.first.said_alone(), strict=True)
            said = [tokens if tree is not None else [] for tree, tokens in rows]  # else a text has ended before it
            if any(said):
                return self._say(said)
        if self._away is not None and (step := self._return(trees, wait=False)):
            return step
        if self._away is None:
            try:
                return self.first.verify(trees)
            except (ConnectionLost, TimedOut):
                self._away = Away.of(self.first)
        return self._alone(trees)

    def settle(self) -> Step | None:
        if self._away is None or self.keep:
            return None
        return self._hear(wait=True)

    def close(self) -> None:
        self._away = None
        self.first.close()

    def _alone(self, trees: Sequence[Tree | None]) -> Step:
        """Let the drafter say what it would draft; where it has nothing to say, wait for the target after all."""
        said, most = self._away.said if self._away is not None else [], self.second.most
        drafts, silent = self.second.verify(trees).tokens, self._silent
        if most is not None:
            drafts = [new[: max(most - len(before), 0)] for before, new in zip(said, drafts, strict=True)]
        self._silent = not any(drafts)
        if not (self._silent and silent):  # once it knows that it is alone, it may have more to say
            for number, new in enumerate(drafts):
                if new and self.first.journal is not None:
                    self.first.journal.say(number, new)
            return self._say(drafts)
        link = self.first.link
        until = link.clock() + self.silence
        while link.clock() < until:
            if heard := self._return(trees, wait=True):
                return heard
        raise TimedOut(f"expected the target or a draft within {self.silence:g} seconds, got neither; {link.broken}")

    def _say(self, tokens: list[list[int]]) -> Step:
        away = self._away = self._away or Away.of(self.first)
        for number, new in enumerate(tokens):
            away.said[number] += new
        if not self.first.link.up:  # so that whoever answers first answers all of it
            self._ask()
        return Step(tokens, list(map(len, tokens)), verified=False)

    def _return(self, trees: Sequence[Tree | None], *, wait: bool) -> Step | None:
        """Look whether the target is back, and take what it says then."""
        if not self.keep or self._away is None:
            return self._hear(wait=wait)
        try:
            self.first.wait() if wait else self.first.link.poll()
        except (ConnectionLost, TimedOut):
            return None
        if not self.first.link.up:
            return None
        for number, said in enumerate(self._away.said):
            self.first.adopt(number, said)
        self._away = None
        return self.verify(trees)

    def _hear(self, *, wait: bool) -> Step | None:
        """Hear the target out on what was said; None while it has not answered, or has agreed with all but the last."""
        while self._away is not None:
            try:
                self.first.wait() if wait else self.first.link.poll()
            except (ConnectionLost, TimedOut):
                return None
            if not self.first.settled:
                return None
            away = self._away
            tokens, late = self.first.take()
            away.late += late
            for number, new in enumerate(tokens):
                away.heard[number] += new
            if not self._ask():
                self._away = None
                return away.step()
            if not wait:
                return None
        return None

    def _ask(self) -> bool:
        """Have what was said verified, as far as the target has not decided on it; say whether there is anything."""
        away, first = self._away, self.first
        if away is None:
            return False
        chains = dict[int, Tree]()
        for number, text in enumerate(first.texts):
            if text is not None and (tokens := away.undecided(number)[: first.most_nodes - 1]):
                chains[number] = _chain(text.tokens[-1], tokens)
        first.ask(chains)
        return bool(chains)


def _chain(root: int, tokens: Sequence[int]) -> Tree:
    count = len(tokens) + 1
    return Tree([root, *tokens], [*range(-1, count - 1)], [0.0] * count, [*range(count)])


def _likeliest(tree: Tree) -> list[int]:
    """Follow the likeliest child from the root down."""
    path, node = list[int](), 0
    while children := tree.children[node]:
        node = max(children, key=tree.scores.__getitem__)
        path.append(tree.tokens[node])
    return path
