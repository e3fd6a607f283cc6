"""A `Chance` that walks every outcome: the code that ships is the code that is proved."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, TypeVar

from specdec.chance import Chance, Key, Probs

Result = TypeVar("Result")

Weight = Any
"""A probability: a Fraction where all weights were Fractions, else a float."""


class KeyReused(AssertionError):
    """Raised when one key is asked for two different chances, which would then be one."""


class Exhaustive(Chance):
    """Takes the choices of a script, then always the first; `probability` is that of all its choices.

    A key that is asked again for the same chance gives the same answer, as `Keyed` does.
    """

    def __init__(self, script: list[int] | None = None) -> None:
        self.probability: Weight = Fraction(1)
        self._script = script or []
        self._choices: list[tuple[int, int]] = []  # which of how many
        self._answers: dict[Key, tuple[object, Any]] = {}

    def draw(self, weights: Probs, count: int, key: Key) -> list[int]:
        numbers = list(weights.tolist())
        possible = [index for index, weight in enumerate(numbers) if weight > 0]
        if len(possible) <= 1 or count == 0:  # nothing is left to chance, so the key is not spent
            return possible[:count]
        return list(self._once(key, (numbers, count), lambda: self._draw(numbers, count)))

    def coin(self, accept: Any, of: Any, key: Key) -> bool:
        if not 0 < accept < of:
            return bool(accept > 0)
        share = (accept if isinstance(accept, Fraction) else float(accept)) / of
        return bool(self._once(key, share, lambda: self._choose([share, 1 - share])) == 0)

    def next_script(self) -> list[int] | None:
        """Give the script of the next outcome; None when this was the last one."""
        choices = self._choices
        while choices and choices[-1][0] + 1 == choices[-1][1]:
            choices = choices[:-1]
        return [which for which, _ in choices[:-1]] + [choices[-1][0] + 1] if choices else None

    def _once(self, key: Key, question: object, answer: Callable[[], Any]) -> Any:
        if key not in self._answers:
            self._answers[key] = question, answer()
        known, outcome = self._answers[key]
        if known != question:
            raise KeyReused(f"expected one chance for {key}, got {known} and then {question}")
        return outcome

    def _draw(self, weights: list[Weight], count: int) -> list[int]:
        left = {index: weight for index, weight in enumerate(weights) if weight > 0}
        drawn: list[int] = []
        while left and len(drawn) < count:
            total, options = sum(left.values()), list(left)
            drawn.append(options[self._choose([left[index] / total for index in options])])
            del left[drawn[-1]]
        return drawn

    def _choose(self, probabilities: list[Weight]) -> int:
        place = len(self._choices)
        which = self._script[place] if place < len(self._script) else 0
        self._choices.append((which, len(probabilities)))
        self.probability *= probabilities[which]
        return which


def enumerate_outcomes(function: Callable[[Chance], Result]) -> Iterator[tuple[Weight, Result]]:
    """Run a function once for every way in which chance can fall; give each way's probability and result.

    The function must depend on nothing but its chance. Outcomes of probability zero are not walked.
    """
    script: list[int] | None = []
    while script is not None:
        chance = Exhaustive(script)
        result = function(chance)
        yield chance.probability, result
        script = chance.next_script()
