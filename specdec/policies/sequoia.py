"""Sequoia: the best fixed tree for given acceptance rates."""

from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from operator import index
from typing import Any

from attrs import field, frozen

from specdec.errors import OptionError
from specdec.interfaces import TreePolicy
from specdec.tree import Tree

TYPICAL_RATES = (0.6, 0.14, 0.06, 0.04, 0.02, 0.02, 0.01, 0.01)
"""How often a small draft model's first, second, ... child is the one accepted; measure your own."""


def _growth_map(parents: Sequence[Any]) -> tuple[int, ...]:
    try:
        whole = tuple(map(index, parents))
    except TypeError:
        raise OptionError(f"expected a growth map of whole numbers, got {parents!r}") from None
    if len(whole) < 2 or whole[0] != -1 or any(not 0 <= p < n for n, p in enumerate(whole) if n):
        raise OptionError(f"expected a growth map of parents, -1 first and each before its children, got {whole}")
    return whole


@frozen
class Sequoia(TreePolicy):
    """Grow the tree of a growth map: node n hangs under node `parents[n]`, node 0 is the root.

    A node's first child is its likeliest, and so on; drawn without replacement if `sampled` (Chen et
    al., Sequoia, arXiv 2402.12374).
    """

    parents: tuple[int, ...] = field(converter=_growth_map)
    sampled: bool = False

    @staticmethod
    def fitted(
        size: int = 16, depth: int = 6, rates: Sequence[float] = TYPICAL_RATES, sampled: bool = False
    ) -> "Sequoia":
        """Find the growth map of at most `size` drafted nodes and `depth` levels that accepts most.

        `rates[i]` is the probability that child i is the one accepted, given that its parent was
        (dynamic programme of arXiv 2402.12374, section 3.1).
        """
        if not (isinstance(size, int) and isinstance(depth, int)):
            raise OptionError(f"expected whole numbers for size and depth, got {size!r} and {depth!r}")
        try:
            rates = tuple(map(float, rates))
        except (TypeError, ValueError):
            raise OptionError(f"expected rates as a sequence of numbers, got {rates!r}") from None
        if size < 1 or depth < 1 or not rates or min(rates) < 0 or sum(rates) > 1 + 1e-6:
            raise OptionError(
                f"expected size and depth of at least 1 and rates that sum to at most 1, got {size}, {depth}, {rates}"
            )
        return Sequoia(_level_order(_best_tree(size + 1, depth, rates)[1]), sampled)

    @cached_property
    def _children(self) -> list[list[int]]:
        return Tree.of([0] * len(self.parents), self.parents).children

    def widths(self, tree: Tree) -> dict[int, int]:
        places = self._places(tree.parents)
        return {node: len(self._children[places[node]]) for node in tree.leaves}

    def _places(self, parents: list[int]) -> list[int]:
        """Find each node's place on the map by its rank among its siblings."""
        places, left = list[int](), list[Iterator[int]]()
        for parent in parents:
            places.append(next(left[parent], 0) if parent >= 0 else 0)
            left.append(iter(self._children[places[-1]]))
        return places


Shape = tuple[Any, ...]
"""A tree as the tuple of its children's trees."""


def _best_tree(size: int, depth: int, rates: tuple[float, ...]) -> tuple[float, Shape]:
    """The tokens expected of the best tree of at most `size` nodes, its root included, and its shape."""

    @cache
    def tree(size: int, depth: int) -> tuple[float, Shape]:
        value, children = forest(size - 1, depth - 1, 0) if depth else (0.0, ())
        return 1 + value, children

    @cache
    def forest(size: int, depth: int, rank: int) -> tuple[float, Shape]:
        best: tuple[float, Shape] = (0.0, ())
        for first in range(1, size + 1) if rank < len(rates) else ():
            value, shape = tree(first, depth)
            others_value, others = forest(size - first, depth, rank + 1)
            total = rates[rank] * value + others_value
            if total > best[0]:
                best = total, (shape, *others)
        return best

    return tree(size, depth)


def _level_order(shape: Shape) -> list[int]:
    parents, level = [-1], [(0, shape)]
    while level:
        below = []
        for parent, children in level:
            for child in children:
                below.append((len(parents), child))
                parents.append(parent)
        level = below
    return parents
