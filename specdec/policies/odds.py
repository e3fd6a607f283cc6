"""How often drafted tokens are accepted, as it was seen."""

from bisect import bisect_left
from collections.abc import Sequence
from math import exp

from specdec.tree import Tree

DOUBTS = (0.01, 0.03, 0.1, 0.3, 0.6, 1.0, 1.6, 2.5, 4.0, 6.0, 8.0, 11.0, 15.0)
"""Bounds between what counts as equally likely: minus the logarithm of the drafter's probability."""
DEPTHS = 3
"""Depths that are told apart; the last stands for all below."""
BELIEF = 3.0
"""How many tokens the drafter's own probability counts for."""
HOPE = 0.9
"""The chance, before any was seen, that a level is accepted where the last one was: so high that it will be seen."""
FADING = 0.99
"""What is left of earlier tokens' weight after each new one."""


class Odds:
    """The chance that a token is accepted where its parent is, by depth and by the drafter's probability of it.

    Drafters' probabilities are too low at temperature 0 and too high elsewhere; what was accepted puts them right.
    """

    def __init__(self) -> None:
        likely = [exp(-doubt) for doubt in (*DOUBTS, 2 * DOUBTS[-1])]
        self._hits, self._trials = [BELIEF * chance for chance in likely * DEPTHS], [BELIEF] * len(likely) * DEPTHS
        self._continued, self._reached = [HOPE * BELIEF] * DEPTHS, [BELIEF] * DEPTHS

    def rates(self) -> list[float]:
        """Give the chances as they are now, for `chances`."""
        return [min(hits / trials, 0.99) for hits, trials in zip(self._hits, self._trials, strict=True)]

    def follows(self) -> list[float]:
        """Give the chance, by depth, that some child of a node is accepted where the node is."""
        return [hits / trials for hits, trials in zip(self._continued, self._reached, strict=True)]

    def observe(self, tree: Tree, tokens: Sequence[int]) -> None:
        """Count which children of the path that was decided were on it."""
        node = 0
        for token in tokens:
            children = tree.children[node]
            for child in children:
                cell = _cell(tree, child)
                self._hits[cell] = FADING * self._hits[cell] + (tree.tokens[child] == token)
                self._trials[cell] = FADING * self._trials[cell] + 1
            node, above = next((child for child in children if tree.tokens[child] == token), 0), node
            if children:
                depth = min(tree.depths[above], DEPTHS - 1)
                self._continued[depth] = FADING * self._continued[depth] + (node > 0)
                self._reached[depth] = FADING * self._reached[depth] + 1
            if node == 0:
                break


def chances(tree: Tree, rates: Sequence[float]) -> list[float]:
    """Give the chance of each node that the path to it is accepted; that of a child is below its parent's."""
    paths = [1.0]
    for node in range(1, len(tree)):
        paths.append(paths[tree.parents[node]] * rates[_cell(tree, node)])
    return paths


def _cell(tree: Tree, node: int) -> int:
    doubt = tree.scores[tree.parents[node]] - tree.scores[node]
    return (min(tree.depths[node], DEPTHS) - 1) * (len(DOUBTS) + 1) + bisect_left(DOUBTS, doubt)
