"""How often drafted tokens are accepted, as it was seen."""

from bisect import bisect_left
from collections.abc import Sequence
from math import exp

from specdec.tree import Tree

DOUBTS = (0.03, 0.1, 0.3, 0.7, 1.5, 3.0, 6.0, 11.0)
"""Bounds between what counts as equally likely: minus the logarithm of the drafter's probability."""
RANKS = 3
"""Siblings that are told apart; the last stands for all after it."""
DEPTHS = 2
"""Depths that are told apart; the last stands for all below."""
BELIEF = 10.0
"""How many tokens it takes to believe what was seen as much as what was expected."""
HOPE = 0.9
"""The chance, before any was seen, that a level is accepted where the last one was: so high that it will be seen."""
HOPES = 3.0
"""How many tokens this counts for."""
FADING = 0.98
"""What is left of earlier tokens' weight after each new one."""
WIDTH = RANKS * (len(DOUBTS) + 1)


class Odds:
    """The chance that a token is accepted where its parent is, by its depth, rank and probability among its siblings.

    Drafters' favourites are often likelier than they claim, and others less so; what was decided puts them right. Where
    little was seen of a depth, the one above says what to expect.
    """

    def __init__(self) -> None:
        self._hits, self._trials = [0.0] * DEPTHS * WIDTH, [0.0] * DEPTHS * WIDTH
        self._continued, self._reached = [HOPE * HOPES] * DEPTHS, [HOPES] * DEPTHS

    def rates(self) -> list[float]:
        """Give the chances as they are now, for `chances`."""
        rates = [exp(-doubt) for doubt in (*DOUBTS, 2 * DOUBTS[-1])] * RANKS
        for hits, trials in zip(self._hits, self._trials, strict=True):
            rates.append((BELIEF * rates[-WIDTH] + hits) / (BELIEF + trials))
        return [min(rate, 0.99) for rate in rates[WIDTH:]]

    def follows(self) -> list[float]:
        """Give the chance, by depth, that some child of a node is accepted where the node is."""
        return [hits / trials for hits, trials in zip(self._continued, self._reached, strict=True)]

    def observe(self, tree: Tree, tokens: Sequence[int]) -> None:
        """Count which children of the path that was decided were on it, whether they were verified or not."""
        node = 0
        for token in tokens:
            children = tree.children[node]
            if not children:
                break
            for rank, child in enumerate(children):
                cell = _cell(tree, child, rank)
                self._hits[cell] = FADING * self._hits[cell] + (tree.tokens[child] == token)
                self._trials[cell] = FADING * self._trials[cell] + 1
            depth = min(tree.depths[node], DEPTHS - 1)
            node = next((child for child in children if tree.tokens[child] == token), 0)
            self._continued[depth] = FADING * self._continued[depth] + (node > 0)
            self._reached[depth] = FADING * self._reached[depth] + 1
            if node == 0:
                break


def chances(tree: Tree, rates: Sequence[float]) -> list[float]:
    """Give the chance of each node that the path to it is accepted; that of a child is below its parent's."""
    paths, ranks = [1.0], [0] * len(tree)
    for node in range(1, len(tree)):
        parent = tree.parents[node]
        paths.append(paths[parent] * rates[_cell(tree, node, ranks[parent])])
        ranks[parent] += 1
    return paths


def _cell(tree: Tree, node: int, rank: int) -> int:
    doubt = tree.scores[tree.parents[node]] - tree.scores[node]
    place = min(rank, RANKS - 1) * (len(DOUBTS) + 1) + bisect_left(DOUBTS, doubt)
    return place if tree.depths[node] == 1 else WIDTH + place
