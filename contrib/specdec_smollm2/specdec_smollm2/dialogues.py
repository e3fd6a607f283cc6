"""Questions and answers that a chat model makes up by itself, to train its heads on what it says.

The chat template is opened where the user's turn begins, and the model writes that turn too (Xu et al., "Magpie",
arXiv 2406.08464).
"""

from collections.abc import Iterator
from enum import Enum

from attrs import define, field, frozen
from transformers import PreTrainedTokenizerBase

from specdec import Needs, Sampling, Tree
from specdec.target import Session, Sessions, Target

GRAM = 8
MARK = "\N{WHITE SQUARE}\N{BLACK SQUARE}"
"""A user's turn that stands in no template."""


@frozen
class Lengths:
    """In tokens: questions of fewer or more are left out, and an answer is cut where it is longer."""

    shortest: int = 4
    question: int = 200
    answer: int = 512


@frozen
class Layout:
    """A chat template as tokens and text: what comes before the user's turn, after it, and after the answer."""

    tokenizer: PreTrainedTokenizerBase
    before: str
    after: str
    end: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> "Layout":
        """Find the parts around a user's turn."""
        turns = [{"role": "user", "content": MARK}]
        whole = str(tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))
        before, after = whole.split(MARK)
        return cls(tokenizer, before, after, int(tokenizer.eos_token_id))

    def question(self) -> list[int]:
        """Give what a question continues."""
        return self.tokens(self.before)

    def answer(self, question: str) -> list[int]:
        """Give what an answer continues."""
        return self.tokens(self.before + question + self.after)

    def tokens(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def text(self, tokens: list[int]) -> str:
        return str(self.tokenizer.decode(tokens, clean_up_tokenization_spaces=False))


class Fate(Enum):
    """What became of a dialogue."""

    KEPT = "kept"
    LONG = "the question does not end"
    SHORT = "the question is short, or empty"
    LOOP = "the question or the answer goes round in circles"
    KNOWN = "the question was there already"


@define
class Dialogue:
    """A question and its answer while they are made; `seed` is its number."""

    seed: int
    temperature: float
    question: str | None = None
    answer: list[int] = field(factory=list)
    fate: Fate | None = None

    def record(self, layout: Layout) -> dict[str, object]:
        """Give a line of training data, or of what was left out."""
        if self.fate is not Fate.KEPT or self.question is None:
            return {"seed": self.seed, "left_out": self.fate and self.fate.value}
        prompt = layout.before + self.question + layout.after
        answer = layout.text(self.answer)
        return {"seed": self.seed, "temperature": self.temperature, "prompt": prompt, "response": answer}


@define
class Making:
    """Makes dialogues side by side: as soon as one is done, the next one takes its place."""

    target: Target
    layout: Layout
    lengths: Lengths
    known: set[str]
    """Questions that there are."""
    sessions: Sessions = field(init=False)
    _running: dict[Session, tuple[Dialogue, int]] = field(factory=dict, init=False)
    """Each with the length of what it continues."""

    def __attrs_post_init__(self) -> None:
        self.sessions = Sessions(self.target.engine)

    def run(self, dialogues: Iterator[Dialogue], width: int) -> Iterator[Dialogue]:
        """Make `width` dialogues at a time; give each when it is done."""
        while True:
            for dialogue in dialogues if len(self._running) < width else ():
                self._open(dialogue, self.layout.question(), Sampling(temperature=1.0, seed=2 * dialogue.seed))
                if len(self._running) >= width:
                    break
            if not self._running:
                return
            yield from self._step()

    def _open(self, dialogue: Dialogue, tokens: list[int], sampling: Sampling) -> None:
        session = self.sessions.open(tokens, sampling, Needs())
        self._running[session] = dialogue, len(tokens)

    def _step(self) -> Iterator[Dialogue]:
        ready = {one: Tree.root(one.prefix.tokens[-1]) for one in self._running if not one.unread}
        for session, decision in self.sessions.step(ready).items():
            if isinstance(decision, Exception):
                raise decision
            dialogue, start = self._running[session]
            said = session.prefix.tokens[start:]
            if self._over(dialogue, said):
                del self._running[session]
                self.sessions.close(session)
                if dialogue.fate is None:
                    assert dialogue.question is not None
                    sampling = Sampling(temperature=dialogue.temperature, seed=2 * dialogue.seed + 1)
                    self._open(dialogue, self.layout.answer(dialogue.question), sampling)
                else:
                    yield dialogue

    def _over(self, dialogue: Dialogue, said: list[int]) -> bool:
        """Whether the turn that is being written is over; what it was goes into the dialogue."""
        ended = said[-1] == self.layout.end
        if dialogue.question is None:
            if not ended and len(said) < self.lengths.question:
                return False
            self._question(dialogue, said[:-1], ended)
        else:
            if not ended and len(said) < self.lengths.answer:
                return False
            dialogue.answer = said
            dialogue.fate = Fate.LOOP if loops(said) else Fate.KEPT
        return True

    def _question(self, dialogue: Dialogue, said: list[int], ended: bool) -> None:
        text = self.layout.text(said).strip()
        dialogue.question = text
        if not ended:
            dialogue.fate = Fate.LONG
        elif len(said) < self.lengths.shortest or not text:
            dialogue.fate = Fate.SHORT
        elif loops(said):
            dialogue.fate = Fate.LOOP
        elif text in self.known:
            dialogue.fate = Fate.KNOWN
        self.known.add(text)


def loops(tokens: list[int]) -> bool:
    """Say whether fewer than half of the runs of eight tokens are distinct."""
    grams = [tuple(tokens[start : start + GRAM]) for start in range(len(tokens) - GRAM + 1)]
    return 2 * len(set(grams)) < len(grams)
