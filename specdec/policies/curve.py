"""What things cost by their number, as it was measured."""

from bisect import bisect_left
from collections.abc import Sequence

CHANGE = 0.1
"""How far an estimate moves towards a new measurement."""
FIRST = 3
"""Of so many measurements at a place the least counts: the first passes of a process are slow."""


class Curve:
    """Seconds by a whole number: straight lines between a few places, of which a measurement moves the nearest.

    Before anything is measured it is a guess, `first` at the first place and `slope` by number, in a unit of its own.
    A place that was never measured lies on the line through those that were.
    """

    def __init__(self, places: Sequence[int], first: float, slope: float) -> None:
        self._places, self._visits = list(places), [0] * len(places)
        self._seconds = [first + slope * (place - places[0]) for place in places]

    def __call__(self, number: int) -> float:
        right = min(max(bisect_left(self._places, number), 1), len(self._places) - 1)
        before, after = self._places[right - 1 : right + 1]
        low, high = self._seconds[right - 1 : right + 1]
        return max(low + (high - low) * (number - before) / (after - before), 0.0)

    def measure(self, number: int, seconds: float) -> None:
        """Take in what this number took; a single slow one moves little."""
        if not any(self._visits):
            self._seconds = [seconds] * len(self._places)
        nearest = self._nearest(number)
        visits, error = self._visits[nearest], seconds - self(number)
        if visits >= FIRST:
            error = CHANGE * min(error, self(number))
        elif visits > 0:
            error = min(error, 0.0)
        self._seconds[nearest] = max(self._seconds[nearest] + error, 0.0)
        self._visits[nearest] += 1
        if visits < FIRST:
            self._straighten()

    def _nearest(self, number: int) -> int:
        right = min(max(bisect_left(self._places, number), 1), len(self._places) - 1)
        return right - (number - self._places[right - 1] < self._places[right] - number)

    def _straighten(self) -> None:
        """Put the places that were never measured on the line through those that were, level if there is but one."""
        known = [place for place, visits in enumerate(self._visits) if visits]
        for place, visits in enumerate(self._visits):
            if visits == 0:
                right = min(max(bisect_left(known, place), 1), len(known) - 1)
                left, right = known[max(right - 1, 0)], known[right]
                run = self._places[right] - self._places[left]
                slope = max((self._seconds[right] - self._seconds[left]) / run, 0.0) if run else 0.0
                ahead = self._places[place] - self._places[left]
                self._seconds[place] = max(self._seconds[left] + slope * ahead, 0.0)
