"""What reading before drafting costs, and what it is paid from."""

from specdec.policies.curve import Curve

START = 2.0
"""Steps of plain decoding that reading may lose at first."""
WEALTH = 100.0
"""Steps of plain decoding that are saved at most; they pay for any reading."""
HOPE = 0.3
"""Steps of plain decoding that a step with drafts gains, before any was seen."""
MEMORY = 32
"""Steps with drafts over which gains are averaged."""
FORGETTING = 1000
"""Steps without drafts after which it is hoped for again."""


class Readings:
    """Keeps count of what reading takes, and of the wealth that pays for it, in steps of plain decoding.

    A drafter may have to read a prompt, or what was decided without it, before it drafts. Wealth is all that drafting
    gained so far, less what it and reading lost.
    """

    def __init__(self) -> None:
        self._seconds, self._known, self._wealth, self._gain = Curve(), False, START, HOPE
        self._seconds.measure(0, 0.0)

    def pay(self, unread: int, plain: float, steps: float, observed: bool) -> float | None:
        """Pay for reading so many tokens, and give the price; None if it is too high, or not gained in so many steps.

        The price is paid before it is known how long reading takes, for not every step is `observed`. The first reading
        shows the price: it is free, and waits for a step that is. A step of plain decoding takes `plain` seconds.
        """
        if not self._known:
            return 0.0 if observed else None
        price = self._seconds(unread) / plain
        if price > self._wealth < WEALTH or price > self._gain * steps:
            return None
        self._wealth -= price
        return price

    def refund(self, price: float) -> None:
        """Take back a price, for nothing was read."""
        self._wealth += price

    def measure(self, unread: int, seconds: float, price: float, plain: float) -> None:
        """Record how long a reading took that was paid for with this price, and pay what it took beyond that."""
        self._seconds.measure(unread, seconds)
        if self._known:
            self._wealth += price - seconds / plain
        self._known = True

    def book(self, gained: float, spent: float, interest: float, *, drafted: bool) -> None:
        """Add what a step gained, and take away what it took, but for its share of interest."""
        self._gain += (gained - spent - self._gain) / MEMORY if drafted else (HOPE - self._gain) / FORGETTING
        self._wealth = min(self._wealth + gained - (1 - interest) * spent, WEALTH)
