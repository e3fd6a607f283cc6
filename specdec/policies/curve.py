"""What things cost by their number, as it was measured."""

from bisect import bisect_left

CHANGE = 0.1
"""How far an estimate moves towards a new measurement."""
FIRST = 3
"""Of so many measurements at a place the least counts: the first passes of a process are slow."""


class Curve:
    """Seconds by a whole number: straight lines through the places that were measured.

    Places are powers of the square root of two, and 0: a measurement counts for the nearest. Beyond them the last line
    is extended, flat if only one place is known: what was never tried looks cheap until it is.
    """

    def __init__(self) -> None:
        self._seconds, self._visits, self._known = dict[int, float](), dict[int, int](), list[int]()

    def __call__(self, number: int) -> float:
        known, seconds = self._known, self._seconds
        if len(known) < 2 or number <= known[0]:
            return seconds[known[0]] if known else 0.0
        right = min(bisect_left(known, number), len(known) - 1)
        before, after = known[right - 1], known[right]
        slope = (seconds[after] - seconds[before]) / (after - before)
        if number > after:
            slope = max(slope, 0.0)
        return seconds[after] + slope * (number - after)

    def __contains__(self, number: int) -> bool:
        return _place(number) in self._seconds

    @property
    def largest(self) -> int:
        """The largest place that is known; 0 if none is."""
        return self._known[-1] if self._known else 0

    def measure(self, number: int, seconds: float) -> float:
        """Record a measurement and return the new estimate; one slow measurement moves it little.

        All other estimates move half as far in proportion, because a busy machine is slow at everything.
        """
        place = _place(number)
        visits, before = self._visits.get(place, 0), self._seconds.get(place, seconds)
        self._visits[place] = visits + 1
        if visits < FIRST:
            self._seconds[place] = min(before, seconds)
        elif before == 0:
            self._seconds[place] = CHANGE * seconds
        else:
            change = CHANGE * min(seconds / before - 1, 1.0)
            self._seconds = {other: old * (1 + change / 2) for other, old in self._seconds.items()}
            self._seconds[place] = before * (1 + change)
        if visits == 0:
            self._known = sorted(self._seconds)
        return self(number)


def _place(number: int) -> int:
    """Round to 0, 1, 2, 3, 4, 6, 8, 11, 16, 23, 32 and so on."""
    if number < 4:
        return number
    power = 1 << (number.bit_length() - 1)
    return min((power, int(power * 2**0.5), 2 * power), key=lambda place: abs(number - place))
