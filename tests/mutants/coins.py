"""Coins at the ends of their interval, where comparisons go wrong."""

from specdec.chance import Key, Keyed, Purpose

KEY = Key(0, 0, Purpose.ACCEPT, 1)


class Coin(Keyed):
    """Compares a uniform number with p / q, in a way of its own."""

    def __init__(self, compare, lowest=0.0, highest=1 - 2.0**-53):
        self.compare, self.ends = compare, (lowest, highest)

    def coins(self, accept, of):
        return [self.compare(u, accept, of) for u in self.ends]


def never_impossible(coin):
    """What has no probability is not accepted."""
    assert not any(coin.coins(0.0, 0.3)), "p = 0 accepted at u = 0"


def surely_certain(coin):
    """What is as likely as it was drafted is accepted."""
    assert all(coin.coins(0.3, 0.3)), "p = q rejected at u = 1"
