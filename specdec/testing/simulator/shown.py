"""What a caller has seen of its texts, and whether that may be so."""

from collections.abc import Sequence

from specdec.context import Step
from specdec.testing.simulator import law
from specdec.testing.simulator.violation import Violation


class Shown:
    """Puts steps together as a user of `Decoder.stream` does, and compares with plain decoding at each of them."""

    def __init__(self, prompts: Sequence[list[int]], seeds: Sequence[int], most: int, keep: bool) -> None:
        self.prompts, self.seeds, self.most, self.keep = prompts, seeds, most, keep
        self.texts: list[list[int]] = [[] for _ in prompts]
        self.verified, self.restored = True, False
        """Whether all is verified; and whether the next step is from a journal, which does not tell what was kept."""
        self._sure = [0] * len(prompts)
        self._plain = [law.decode(*row, most) for row in zip(seeds, prompts, strict=True)]

    def take(self, step: Step) -> None:
        """Take a step in."""
        self.verified = step.verified
        for number, (new, retracted) in enumerate(zip(step.tokens, step.retracted, strict=True)):
            text = self.texts[number]
            start = len(text) - retracted
            if start < (len(text) if self.keep else self._sure[number]):
                raise Violation(f"I1: {retracted} tokens are taken back, some of them for good")
            text[start:] = new
            if step.verified and self.keep:
                self._check_law(number, len(text) if self.restored else start)
            elif step.verified:
                self.check(number, text)
                self._sure[number] = len(text)
        self.restored = False

    def check(self, number: int, decided: list[int]) -> None:
        """Check that what counts as verified is what plain decoding says."""
        plain = self._plain[number]
        if decided[: len(plain)] != plain[: len(decided)]:
            raise Violation(f"I1: expected {plain}, got {decided}")

    def finished(self) -> bool:
        """Say whether the texts are whole and verified.

        Raises:
            Violation: they are verified, and not whole.
        """
        if self.keep or not self.verified:
            return self.keep
        if self.texts != self._plain:
            raise Violation(f"I1: expected {self._plain} in the end, got {self.texts}")
        return True

    def _check_law(self, number: int, start: int) -> None:
        """Check that each new token follows from those before, whoever said these."""
        text = self.texts[number]
        for place in range(start, len(text)):
            before = law.after([*self.prompts[number], *text[:place]])
            if text[place] != law.say(self.seeds[number], before):
                raise Violation(f"I1: expected another token after {text[:place]}, got {text[place]}")
