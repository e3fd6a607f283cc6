"""Where a tree grows: the nodes whose children are asked for."""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from attrs import frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor

from specdec.nodes import PADDING, at
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
        """Which of the nodes read so far each may attend to, in the order in which they were read."""
        count = len(self.places[0])
        visible = np.zeros((len(self.places), count, self.start + count), bool)
        visible[:, range(count), range(self.start, self.start + count)] = True  # padding too sees itself
        for row, nodes in enumerate(self.places):
            for index, node in enumerate(nodes):
                if node >= 0:
                    visible[row, index, self._seen[row][node]] = True
        return torch.from_numpy(visible)

    @cached_property
    def above(self) -> list[list[int]]:
        """In which column of those read before stands each node's parent; 0 for padding and the root."""
        seen = self._seen
        return [
            [row[node][-2] if len(row.get(node, ())) > 1 else 0 for node in nodes]
            for row, nodes in zip(seen, self.places, strict=True)
        ]

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
    def _seen(self) -> list[dict[int, list[int]]]:
        """For each node read so far, in which columns it and the nodes above it stand, itself last."""
        known = [{}] * len(self.places) if self.before is None else self.before._seen
        seen = [{**row} for row in known]
        for row, nodes, parents in zip(seen, self.places, self.tree.lists.parents, strict=True):
            for index, node in enumerate(nodes):
                if node >= 0:
                    row[node] = [*row.get(parents[node], ()), self.start + index]
        return seen


Score = Callable[[Tree, Frontier], Float[Tensor, "B M V"]]
"""Logits of what follows each node of a frontier; minus infinity marks what is not to be drafted."""


def _tensor(rows: list[list[int]]) -> Int[Tensor, "B N"]:
    return torch.from_numpy(np.array(rows))
