"""Does a text stay the target's when the target is on a server, and everything breaks?"""

from collections.abc import Callable

from specdec.interfaces import Drafter, Verifier
from specdec.remote import Remote
from specdec.testing.simulator import Parts, simulate


def check_split(
    drafter: Callable[[], Drafter] | None = None,
    verifier: Callable[[Remote], Verifier] | None = None,
    *,
    seeds: int = 50,
    first: int = 0,
) -> None:
    """Simulate clients and servers that crash, lines that break, and all else that goes wrong, once for each seed.

    `drafter` makes a drafter for a target of 8 tokens, which may read hidden states of 4 numbers each, of any layers;
    `verifier` wraps a `Remote`, as `Failover` does. What is not given is the simulator's own. Time is virtual, so the
    parts must take it from the `Remote` alone: neither sleep, nor start threads, nor draw on chance that is not seeded.

    Raises:
        AssertionError: the message says what was broken, and the seed that shows it again.
    """
    for seed in range(first, first + seeds):
        outcome = simulate(seed, Parts(drafter, verifier))
        if outcome.violation is not None:
            raise AssertionError(f"{outcome.violation}; seed {seed}")
