"""Every shape that a small tree can have."""

from collections.abc import Iterator
from functools import cache
from itertools import product

from attrs import frozen


@frozen
class Shape:
    """A tree's nodes in topological order, the root left out: parents, and which nodes are drawn.

    Node n of the tree, the root being node 0, has `parents[n - 1]` and `drawn[n - 1]`.
    """

    parents: tuple[int, ...]
    drawn: tuple[bool, ...]

    @property
    def is_chain(self) -> bool:
        """Whether no node has two children."""
        return self.parents == tuple(range(len(self.parents)))

    @property
    def is_placed(self) -> bool:
        """Whether no node is drawn."""
        return not any(self.drawn)


@cache
def ordered_trees(nodes: int) -> tuple[tuple[int, ...], ...]:
    """List all ordered trees of a root and so many nodes, each as its nodes' parents in level order."""
    trees: dict[tuple[int, ...], None] = {(): None}
    for _ in range(nodes):
        trees = {(*parents, above): None for parents in trees for above in range(len(parents) + 1)}
    return tuple(parents for parents in trees if list(parents) == sorted(parents))


def all_shapes(largest: int, smallest: int = 0) -> Iterator[Shape]:
    """Give every ordered tree of so many nodes, with every choice of placed and drawn nodes."""
    for nodes in range(smallest, largest + 1):
        for parents in ordered_trees(nodes):
            for drawn in product((False, True), repeat=nodes):
                yield Shape(parents, drawn)
