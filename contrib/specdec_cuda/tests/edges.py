"""Every path of coins through a rule, with coins at the very edge of what decides."""

from bisect import bisect_left
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import torch
from attrs import frozen
from specdec_cuda.jit import Kernel
from specdec_cuda.kernels import residual
from torch import Tensor

from specdec import Keyed, Tree
from specdec.chance import Dice, Key, Probs
from specdec.interfaces import Rule, Walk
from specdec.pack import pad
from specdec.testing.exhaustive import Exhaustive
from specdec.testing.instances import Instance, path_tokens

COINS = 2**53


class Edges(Exhaustive):
    """Takes for each coin the last that comes up true and the first that does not; picks are those of `Keyed`."""

    def __init__(self, script: list[int] | None = None) -> None:
        super().__init__(script)
        self.coins: dict[int, int] = {}

    def coin(self, accept: object, of: object, key: Key) -> bool:
        edge = bisect_left(range(COINS), True, key=lambda coin: not tossed(coin, accept, of))
        sides = {edge - 1: Fraction(edge, COINS), edge: Fraction(COINS - edge, COINS)}
        possible = {coin: share for coin, share in sides.items() if share > 0}
        self.coins[key.node] = list(possible)[self._choose(list(possible.values()))]
        return tossed(self.coins[key.node], accept, of)

    def draw(self, weights: Probs, count: int, key: Key) -> list[int]:
        return Keyed().draw(weights, count, key)


def tossed(coin: int, accept: object, of: object) -> bool:
    """Decide as `Keyed` does."""
    return coin * 2.0**-53 * float(of) < float(accept)  # type: ignore[arg-type]


@frozen
class Case:
    """A tree with probabilities of single precision, coins, and what the rule makes of them."""

    tree: Tree
    rows: list[Probs]
    coins: dict[int, int]
    walk: Walk
    probability: Fraction
    """How likely coins are on these sides of the edges."""


def cases(rule: Rule, tree: Tree, instance: Instance) -> Iterator[Case]:
    """Walk every path of coins."""
    rows = [instance.p(path_tokens(tree, node)).astype(np.float32) for node in range(len(tree))]
    script: list[int] | None = []
    while script is not None:
        chance = Edges(script)
        walk = rule.walk(tree, lambda node: rows[node].copy(), Dice(chance, 0, 0))
        yield Case(tree, rows, chance.coins, walk, chance.probability)
        script = chance.next_script()


def decide(kernel: Kernel, batch: list[Case], **options: int) -> tuple[Tensor, Tensor, Tensor]:
    """Have a kernel decide on all cases in one launch; give the probabilities that are left as well."""
    trees = [case.tree for case in batch]
    nodes = max(map(len, trees))
    probs = torch.full((len(batch), nodes, len(batch[0].rows[0])), torch.nan)
    for row, case in enumerate(batch):
        probs[row, : len(case.tree)] = torch.from_numpy(np.stack(case.rows))
    proposals = [[tree.proposal(node) for node in range(len(tree))] for tree in trees]
    given = [q for row in proposals for q in row if q is not None] or [np.zeros(1)]
    numbers = iter(range(len(given)))
    drawn = pad([[-1 if q is None else next(numbers) for q in row] for row in proposals]).int()
    coins = pad([[case.coins.get(node, 0) for node in range(nodes)] for case in batch], 0)
    tokens, parents = (pad(part).int() for part in ([one.tokens for one in trees], [one.parents for one in trees]))
    rows = torch.from_numpy(np.stack(given))
    endings, masses = residual.decide(kernel, probs, rows, drawn, coins, tokens, parents, **options)
    return endings, masses, probs
