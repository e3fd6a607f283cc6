"""How the next tree grows."""

from collections.abc import Sequence

from attrs import frozen

from specdec.policies.odds import Odds

LEVELS = 16
"""Most levels of a tree."""


@frozen
class Plan:
    """How the next tree grows. Prices are in tokens: what a sequence would gain in the same time without it."""

    rates: Sequence[float] = ()
    """The chances that tokens are accepted, as `chances` reads them."""
    follows: Sequence[float] = ()
    """The chance, by depth, that some child of an accepted node is accepted."""
    levels: Sequence[float] = ()
    """The price of drafting one more level, by the levels that there are; as many as may be drafted."""
    passes: Sequence[float] = (0.0,)
    """The price of a pass, by the drafted nodes of a sequence that it reads; as many as may be verified."""
    node: float = 0.0
    """The price of one node more in a pass of a few."""


PLAIN = Plan()
"""Drafts nothing."""
FIRST = Plan(Odds().rates(), Odds().follows(), [0.0], [1.0, 1.1, 1.2, 1.3], 0.1)
"""The plan for the first tree, and for policies whose steps are not observed."""
