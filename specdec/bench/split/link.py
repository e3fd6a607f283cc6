"""Network links between client and server."""

from random import Random

from attrs import field, frozen

from specdec.bounds import bounds
from specdec.errors import OptionError


@frozen
class Link:
    """A link: `rate` in megabits per second, one-way `delay` and its `jitter` (plus or minus) in milliseconds."""

    name: str
    rate: float = field(validator=bounds(0, above=True))
    delay: float = field(validator=bounds(0))
    jitter: float = field(default=0.0, validator=bounds(0))

    @property
    def round_trip(self) -> float:
        """Seconds of a round trip of empty messages."""
        return 2 * self.delay / 1000

    def seconds(self, size: int | float) -> float:
        """Seconds that it takes to send `size` bytes."""
        return 8e-6 * size / self.rate

    @staticmethod
    def named(name: str) -> "Link":
        """Find a link by its name.

        Raises:
            OptionError: there is none of this name.
        """
        if name not in LINKS:
            raise OptionError(f"expected a link of {', '.join(LINKS)}, got {name!r}")
        return LINKS[name]


LINKS = {
    link.name: link
    for link in (
        Link("wifi", 100.0, 5.0, 2.0),
        Link("cities", 50.0, 9.0),
        Link("5g", 50.0, 10.0, 10.0),
        Link("4g", 20.0, 21.0, 19.0),
        Link("weak", 5.0, 100.0),
    )
}
"""By name, from the nearest to the farthest."""


class Lane:
    """One direction of a link, which keeps the order of messages."""

    def __init__(self, link: Link, random: Random) -> None:
        self.link, self._random = link, random
        self._free = self._latest = 0.0

    def arrival(self, now: float, size: int) -> float:
        """The time in seconds at which a message of `size` bytes arrives that is sent at `now`."""
        link = self.link
        self._free = max(now, self._free) + link.seconds(size)
        late = (link.delay + link.jitter * self._random.uniform(-1, 1)) / 1000
        self._latest = max(self._free + late, self._latest)
        return self._latest
