"""Generation that continues while the target is out of reach."""

from collections.abc import Sequence
from sys import maxsize

from attrs import define, field

from specdec.context import Step
from specdec.errors import ConnectionLost, TimedOut
from specdec.features import Needs
from specdec.interfaces import Verifier
from specdec.options import Sampling
from specdec.pending import FeaturesAt
from specdec.remote.verifier import Remote
from specdec.text import in_common
from specdec.tree import Tree


class DraftOnly(Verifier):
    """Decides on the likeliest path of each tree, unverified.

    In `Failover` it adds at most `most` tokens to a sequence, then none.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most

    def prefill(self, prompts: Sequence[Sequence[int]], needs: Needs, sampling: Sequence[Sampling]) -> Step:
        return Step([list(prompt[1:]) for prompt in prompts], [0] * len(prompts), verified=False)

    def verify(self, trees: Sequence[Tree | None]) -> Step:
        paths = [[] if tree is None else _likeliest(tree) for tree in trees]
        return Step(paths, list(map(len, paths)), verified=False)


@define(eq=False)
class Outage:
    """The time without the target, which began when sequences had the lengths `starts`.

    `drafted` are the drafter's tokens since then, and `decided` those that the target has decided in their place, as
    far as it has verified them; `late` are features that came with these. `silent` says whether the drafter had no
    guess when it was last asked.
    """

    starts: list[int]
    drafted: list[list[int]]
    decided: list[list[int]]
    late: list[FeaturesAt] = field(factory=list)
    silent: bool = False

    @classmethod
    def of(cls, remote: Remote) -> "Outage":
        """Begin with no tokens; sequences that have left are never cut."""
        starts = [maxsize if text is None else len(text.tokens) for text in remote.texts]
        return cls(starts, [[] for _ in starts], [[] for _ in starts])

    def undecided(self, number: int) -> list[int]:
        """The drafter's tokens that the target has still to verify; none once it has disagreed."""
        drafted, decided = self.drafted[number], self.decided[number]
        return drafted[len(decided) :] if drafted[: len(decided)] == decided else []

    def step(self) -> Step:
        """Replace the drafter's tokens by the target's."""
        accepted = [in_common(*pair) for pair in zip(self.drafted, self.decided, strict=True)]
        return Step(self.decided, accepted, features=tuple(self.late), starts=self.starts)


class Failover(Verifier):
    """Verifies with a server, and lets the drafter continue alone while that is out of reach.

    The drafter's own text is unverified. When the server is back, it gets that text as one long draft: what the target
    agrees with stays, the rest is retracted and replaced by the target's tokens. With `keep` all of it stays, and the
    target continues from there. When the drafter has no guess either, the target is waited for, at most `silence`
    seconds.
    """

    def __init__(
        self, first: Remote, second: DraftOnly | None = None, *, keep: bool = False, silence: float = 60.0
    ) -> None:
        self.first, self.second, self.keep, self.silence = first, second or DraftOnly(), keep, silence
        self.vocab_size, self.max_length, self.end_tokens = first.vocab_size, first.max_length, first.end_tokens
        self.length_advice, self.tokenizer, self.repeatable = first.length_advice, first.tokenizer, first.repeatable
        self.files, self.generation_config = first.files, first.generation_config
        self._outage: Outage | None = None
        self._restored = False

    @property
    def online(self) -> bool:
        """Whether the server has sent anything since the line last broke."""
        return self.first.link.heard

    def view(self) -> "Failover":
        return Failover(self.first.view(), self.second, keep=self.keep, silence=self.silence)

    def prefill(self, prompts: Sequence[Sequence[int]], needs: Needs, sampling: Sequence[Sampling]) -> Step:
        self._outage, self._restored = None, self.first.journal is not None
        return self.first.prefill(prompts, needs, sampling)

    def verify(self, trees: Sequence[Tree | None]) -> Step:
        if self._restored and not self.first.restored:
            self._restored = False
            rows = zip(trees, self.first.said_alone(), strict=True)
            said = [tokens if tree is not None else [] for tree, tokens in rows]  # else it ended before this text
            if any(said):
                return self._add_drafted(said)
        if self._outage is not None and (step := self._resume(trees, wait=False)):
            return step
        if self._outage is None:
            try:
                return self.first.verify(trees)
            except (ConnectionLost, TimedOut):
                self._outage = Outage.of(self.first)
        return self._continue_alone(self._outage, trees)

    def settle(self) -> Step | None:
        if self._outage is None or self.keep:
            return None
        return self._reconcile(wait=True)

    def close(self) -> None:
        self._outage = None
        self.first.close()

    def _continue_alone(self, outage: Outage, trees: Sequence[Tree | None]) -> Step:
        """Take the drafter's path as text; if it has no guess twice in a row, wait for the target after all."""
        drafts, most = self.second.verify(trees).tokens, self.second.most
        if most is not None:
            drafts = [new[: max(most - len(old), 0)] for old, new in zip(outage.drafted, drafts, strict=True)]
        before, outage.silent = outage.silent, not any(drafts)
        if not (before and outage.silent):  # a step without tokens lets the drafter try once more
            for number, new in enumerate(drafts):
                if new and self.first.journal is not None:
                    self.first.journal.say(number, new)
            return self._add_drafted(drafts)
        link = self.first.link
        until = link.clock() + self.silence
        while link.clock() < until:
            if step := self._resume(trees, wait=True):
                return step
        raise TimedOut(f"expected the target or a draft within {self.silence:g} seconds, got neither: {link.trouble}")

    def _add_drafted(self, tokens: list[list[int]]) -> Step:
        outage = self._outage = self._outage or Outage.of(self.first)
        for number, new in enumerate(tokens):
            outage.drafted[number] += new
        if not self.first.link.up:  # so that the next server gets all of it at once
            self._ask_for_rest()
        return Step(tokens, list(map(len, tokens)), verified=False)

    def _resume(self, trees: Sequence[Tree | None], *, wait: bool) -> Step | None:
        """If the target is back, verify the text in between, or with `keep` adopt it."""
        if not self.keep or self._outage is None:
            return self._reconcile(wait=wait)
        try:
            self.first.wait() if wait else self.first.link.poll()
        except (ConnectionLost, TimedOut):
            return None
        if not self.first.link.up:
            return None
        for number, tokens in enumerate(self._outage.drafted):
            self.first.adopt(number, tokens)
        self._outage = None
        return self.verify(trees)

    def _reconcile(self, *, wait: bool) -> Step | None:
        """Have the target verify the drafter's text, as far as it answers; None until all of it is decided."""
        while self._outage is not None:
            try:
                self.first.wait() if wait else self.first.link.poll()
            except (ConnectionLost, TimedOut):
                return None
            if not self.first.settled:
                return None
            outage = self._outage
            tokens, late = self.first.take()
            outage.late += late
            for number, new in enumerate(tokens):
                outage.decided[number] += new
            if not self._ask_for_rest():
                self._outage = None
                return outage.step()
            if not wait:
                return None
        return None

    def _ask_for_rest(self) -> bool:
        """Ask for the rest of the drafter's text to be verified; say whether there is any."""
        outage, first = self._outage, self.first
        if outage is None:
            return False
        chains = dict[int, Tree]()
        for number, text in enumerate(first.texts):
            if text is not None and (tokens := outage.undecided(number)[: first.most_nodes - 1]):
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
