"""Where a tree grows: the nodes whose children are asked for."""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from attrs import frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor

from specdec.nodes import PADDING, at, bits
from specdec.tree import Tree


@frozen(eq=False, slots=False)
class Frontier:
    """Nodes whose children are asked for, `M` per row, padded where a row has fewer.

    What there is to know of them is worked out when it is asked for: many drafters need little.
    """

    tree: Tree
    places: list[list[int]]
    """The nodes, as a list for each row."""
    before: "Frontier | None" = None
    """The nodes that were asked about before these."""

    @cached_property
    def nodes(self) -> Int[Tensor, "B M"]:
        """The nodes by their numbers in the tree."""
        return _tensor(self.places)

    @cached_property
    def tokens(self) -> Int[Tensor, "B M"]:
        """Their tokens."""
        return _tensor(at(self.tree.lists.tokens, self.places, PADDING))

    @cached_property
    def depths(self) -> Int[Tensor, "B M"]:
        """Edges between each and the root; 0 for padding."""
        return _tensor(at(self.tree.lists.depths, self.places, 0))

    @cached_property
    def read(self) -> Int[Tensor, "B C"]:
        """All nodes read so far, these included, in the order in which they were read."""
        return _tensor(self._read)

    @cached_property
    def read_depths(self) -> Int[Tensor, "B C"]:
        """Their edges to the root; 0 for padding."""
        return _tensor(at(self.tree.lists.depths, self._read, 0))

    @cached_property
    def visible(self) -> Bool[Tensor, "B M C"]:
        """Which of the nodes read so far each may attend to, in their order of reading; padding sees itself."""
        seen = [
            [row[node][1] if node >= 0 else 1 << column for column, node in enumerate(nodes, self.start)]
            for row, nodes in zip(self._seen, self.places, strict=True)
        ]
        return torch.from_numpy(bits(seen, self.start + len(self.places[0])))

    @cached_property
    def above(self) -> Int[Tensor, "B M"]:
        """In which column, in the order of reading, each node's parent stands; 0 for the root and padding."""
        parents = at(self.tree.lists.parents, self.places, PADDING)
        rows = zip(self._seen, parents, strict=True)
        return _tensor([[row[parent][0] if parent >= 0 else 0 for parent in nodes] for row, nodes in rows])

    @property
    def start(self) -> int:
        """How many places the nodes read before take up."""
        return 0 if self.before is None else len(self.before._read[0])

    @cached_property
    def _read(self) -> list[list[int]]:
        if self.before is None:
            return self.places
        return [[*old, *new] for old, new in zip(self.before._read, self.places, strict=True)]

    @cached_property
    def _seen(self) -> list[dict[int, tuple[int, int]]]:
        """For each node read so far its column, and as bits the columns of it and of the nodes above it."""
        known = [{}] * len(self.places) if self.before is None else self.before._seen
        seen = [{**row} for row in known]
        for row, nodes, parents in zip(seen, self.places, self.tree.lists.parents, strict=True):
            for column, node in enumerate(nodes, self.start):
                if node >= 0:
                    row[node] = column, 1 << column | (row[parents[node]][1] if parents[node] in row else 0)
        return seen


Score = Callable[[Tree, Frontier], Float[Tensor, "B M V"]]
"""Logits of what follows each node of a frontier; minus infinity marks what is not to be drafted."""


def _tensor(rows: list[list[int]]) -> Int[Tensor, "B N"]:
    return torch.from_numpy(np.array(rows))
