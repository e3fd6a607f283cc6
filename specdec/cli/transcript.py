"""A text as its steps arrive: a settled part, then one that may still be retracted."""

from attrs import define, field, frozen

from specdec.context import Step
from specdec.text import TextStream, in_common

OWN, DRAFTED, ALONE = "own", "drafted", "alone"
"""The origin of a piece: the target, an accepted draft, or a drafter alone, unverified."""


@frozen
class Piece:
    """What a token adds to the text; a character of several tokens comes with the last of them."""

    text: str
    origin: str


@frozen
class Change:
    """What a step does to a text: `settled` replaces all unsettled text, and `tail` is the new unsettled text.

    `retracted` is the number of tokens that were replaced by others.
    """

    settled: tuple[Piece, ...]
    tail: str = ""
    verified: bool = True
    retracted: int = 0


@define(eq=False)
class Transcript:
    """Follows one sequence; with `keep` nothing is retracted, and all text is settled at once."""

    stream: TextStream | None
    keep: bool = False
    tokens: list[int] = field(factory=list)
    text: str = ""
    verified: bool = True
    alone: int = 0
    """The number of tokens that the drafter added alone, retracted ones included."""
    retracted: int = 0
    _settled: int = 0
    """The number of settled tokens."""
    _characters: int = 0
    """The number of settled characters."""

    def take(self, step: Step) -> Change:
        """Apply a step."""
        new, gone = step.tokens[0], len(self.tokens) - step.retracted[0]
        lost = self.tokens[gone:]
        retracted = len(lost) - in_common(lost, new)
        self.tokens[gone:] = new
        if step.text is not None:
            self.text = self.text[: len(self.text) - sum(step.retracted_text)] + step.text[0]
        self.verified, self.retracted = step.verified, self.retracted + retracted
        if not step.verified:
            self.alone += len(new)
        if not (step.verified or self.keep):
            return Change((), self.text[self._characters :], verified=False)
        drafted = len(self.tokens) - len(new) + step.accepted[0]
        pieces = [self._piece(place, drafted, step.verified) for place in range(self._settled, len(self.tokens))]
        self._settled, self._characters = len(self.tokens), len(self.text)
        return Change(tuple(pieces), verified=step.verified, retracted=retracted)

    def end(self) -> Change:
        """Settle an incomplete last character, unless the text ends unsettled."""
        left = self.stream.add([], last=True) if self.stream and self.unsettled == 0 else ""
        return Change((Piece(left, OWN),), self.text[self._characters :], self.verified)

    @property
    def unsettled(self) -> int:
        """The number of tokens at the end that may still be retracted."""
        return len(self.tokens) - self._settled

    def _piece(self, place: int, drafted: int, verified: bool) -> Piece:
        origin = DRAFTED if place < drafted else OWN
        text = self.stream.add([self.tokens[place]], last=False) if self.stream else ""
        return Piece(text, origin if verified else ALONE)
