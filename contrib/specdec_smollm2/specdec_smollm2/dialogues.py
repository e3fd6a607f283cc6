"""Questions and answers that a chat model makes up by itself, to train its heads on what it says.

The chat template is opened where the user's turn begins, and the model writes that turn too (Xu et al., "Magpie",
arXiv 2406.08464).
"""

from collections import deque
from collections.abc import Iterator
from enum import Enum
from itertools import islice

from attrs import define, field, frozen

from specdec import Needs, Sampling, Tree
from specdec.bench import loops
from specdec.target import Session, Sessions, Target
from specdec_smollm2.layout import Layout


@frozen
class Lengths:
    """In tokens: questions of fewer or more are left out, and an answer is cut where it is longer."""

    shortest: int = 4
    question: int = 200
    answer: int = 512


class Fate(Enum):
    """What became of a dialogue."""

    KEPT = "kept"
    LONG = "the question does not end"
    SHORT = "the question is short, or empty"
    LOOP = "the question or the answer goes round in circles"
    KNOWN = "the question was there already"


@define(eq=False)
class Dialogue:
    """A question and its answer while they are made; `seed` is its number."""

    seed: int
    temperature: float
    question: str = ""
    answer: list[int] = field(factory=list)
    fate: Fate | None = None

    def record(self, layout: Layout) -> dict[str, object]:
        """Give a line of training data, or of what was left out."""
        if self.fate is not Fate.KEPT:
            return {"seed": self.seed, "left_out": self.fate and self.fate.value}
        return {
            "seed": self.seed,
            "temperature": self.temperature,
            "prompt": layout.prompt(self.question),
            "response": layout.text(self.answer),
            "tokens": len(self.answer),
        }


@frozen
class Turn:
    """The turn that a session writes, after the first `start` tokens."""

    dialogue: Dialogue
    start: int
    answers: bool


@define(eq=False)
class Making:
    """Makes dialogues side by side: as soon as one is done, the next one takes its place."""

    target: Target
    layout: Layout
    lengths: Lengths
    known: set[str]
    """Questions that there are."""
    _sessions: Sessions = field(init=False)
    _running: dict[Session, Turn] = field(factory=dict, init=False)
    _order: deque[Dialogue] = field(factory=deque, init=False)

    def __attrs_post_init__(self) -> None:
        self._sessions = Sessions(self.target.engine)

    def run(self, dialogues: Iterator[Dialogue], width: int) -> Iterator[Dialogue]:
        """Make `width` dialogues at a time; give them in their order, so that the width does not change them."""
        while True:
            for dialogue in islice(dialogues, width - len(self._running)):
                self._order.append(dialogue)
                self._open(dialogue, self.layout.before, Sampling(temperature=1.0, seed=2 * dialogue.seed))
            if not self._running:
                return
            self._step()
            while self._order and self._order[0].fate is not None:
                yield self._settled(self._order.popleft())

    def _open(self, dialogue: Dialogue, text: str, sampling: Sampling, *, answers: bool = False) -> None:
        tokens = self.layout.tokens(text)
        self._running[self._sessions.open(tokens, sampling, Needs())] = Turn(dialogue, len(tokens), answers)

    def _step(self) -> None:
        """Write a token of each turn; after a question comes its answer."""
        ready = {one: Tree.root(one.prefix.tokens[-1]) for one in self._running if not one.unread}
        for session, decision in self._sessions.step(ready).items():
            if isinstance(decision, Exception):
                raise decision
            turn = self._running[session]
            written, dialogue = session.prefix.tokens[turn.start :], turn.dialogue
            ended = written[-1] == self.layout.end
            if not ended and len(written) < (self.lengths.answer if turn.answers else self.lengths.question):
                continue
            del self._running[session]
            self._sessions.close(session)
            if turn.answers:
                dialogue.answer, dialogue.fate = written, Fate.LOOP if loops(written) else Fate.KEPT
            else:
                self._question(dialogue, written[:-1], ended)
            if dialogue.fate is None:
                sampling = Sampling(temperature=dialogue.temperature, seed=2 * dialogue.seed + 1)
                self._open(dialogue, self.layout.prompt(dialogue.question), sampling, answers=True)

    def _question(self, dialogue: Dialogue, written: list[int], ended: bool) -> None:
        dialogue.question = self.layout.text(written).strip()
        if not ended:
            dialogue.fate = Fate.LONG
        elif len(written) < self.lengths.shortest or not dialogue.question:
            dialogue.fate = Fate.SHORT
        elif loops(written):
            dialogue.fate = Fate.LOOP
        elif dialogue.question in self.known:
            dialogue.fate = Fate.KNOWN

    def _settled(self, dialogue: Dialogue) -> Dialogue:
        """Compare a question with all before it, of which some were not there while it was answered."""
        if dialogue.question in self.known:
            dialogue.fate = Fate.KNOWN
        elif dialogue.fate is Fate.KEPT:
            self.known.add(dialogue.question)
        return dialogue
