"""The nodes of trees in numpy, whose calls cost a fifth of torch's: the cost of small things is that of the call."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from attrs import frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor

from specdec.errors import TreeError

PADDING = -1
"""Fills what is no node and no token; never a legal token id."""

Array = np.ndarray[Any, np.dtype[Any]]


def array(tensor: Tensor) -> Array:
    """View a tensor of the CPU as numpy's."""
    view: Array = tensor.numpy()
    return view


@frozen(eq=False)
class Nodes:
    """What a `specdec.tree.Tree` shows as tensors, of the same memory."""

    tokens: Int[Array, "B N"]
    parents: Int[Array, "B N"]
    scores: Float[Array, "B N"]
    depths: Int[Array, "B N"]

    @staticmethod
    def roots(tokens: Int[Array, " B"]) -> "Nodes":
        """Start trees from these tokens."""
        shape = len(tokens), 1
        depths = np.zeros(shape, np.int64)
        return Nodes(tokens.reshape(shape), depths + PADDING, np.zeros(shape, np.float32), depths)

    @cached_property
    def real(self) -> Bool[Array, "B N"]:
        """Which places hold a node."""
        return self.tokens >= 0

    @cached_property
    def deepest(self) -> Bool[Array, "B N"]:
        """The nodes of the last level that any row has reached."""
        last: Array = self.depths == self.depths.max()
        return last & self.real

    def ancestors(self) -> Bool[Array, "B N N"]:
        """Whether node m is node n or above it, at [n, m]; padding has only itself."""
        size = self.tokens.shape[1]
        above = np.zeros((len(self.tokens), size, size), bool)
        above[:, range(size), range(size)] = True
        for row, parents in zip(above, np.where(self.real, self.parents, PADDING).tolist(), strict=True):
            for node, parent in enumerate(parents):  # each stands behind its parent
                if parent >= 0:
                    row[node] |= row[parent]
        return above

    def check_parents(self, tokens: Int[Array, "B M"], parents: Int[Array, "B M"]) -> None:
        """Check that new nodes have a node to hang under.

        Raises:
            TreeError: the message names the parent, or the nodes without one.
        """
        size, real = self.tokens.shape[1], tokens >= 0
        if (real & (parents >= size)).any():
            raise TreeError(f"expected parents among the tree's {size} nodes, got {parents.max()}")
        above = self.tokens[np.arange(len(tokens))[:, None], np.where(real, parents, 0)]
        orphans = real & ((above < 0) | (parents < 0))
        if orphans.any():
            raise TreeError(
                f"expected every new node to have a node as parent, got none at {np.argwhere(orphans).tolist()}"
            )

    def beside(self, tokens: Int[Array, "B M"], parents: Int[Array, "B M"], scores: Float[Array, "B M"]) -> "Nodes":
        """Add nodes under others; columns of padding alone are dropped."""
        real = tokens >= 0
        if not real.all():
            places = listed(real)
            tokens, parents = at(tokens, places, PADDING), at(parents, places, PADDING)
            scores = at(scores, places, 0)
        depths = at(self.depths, parents, -1) + 1
        return Nodes(
            np.concatenate([self.tokens, tokens], 1),
            np.concatenate([self.parents, parents], 1),
            np.concatenate([self.scores, scores], 1),
            np.concatenate([self.depths, depths], 1),
        )

    def only(self, kept: Bool[Array, "B N"]) -> "Nodes":
        """Keep these nodes.

        Raises:
            TreeError: a node would be left without its parent.
        """
        rows = np.arange(len(kept))[:, None]
        orphans = kept & (self.parents >= 0) & ~kept[rows, self.parents]
        if orphans.any():
            raise TreeError(
                f"expected the parent of every kept node to be kept, got orphans at {np.argwhere(orphans).tolist()}"
            )
        if (kept >= self.real).all():
            return self
        places = listed(kept)
        renamed = kept.cumsum(1) - 1
        above = at(self.parents, places, PADDING)
        return Nodes(
            at(self.tokens, places, PADDING),
            np.where(above < 0, PADDING, renamed[rows, above]),
            at(self.scores, places, 0),
            at(self.depths, places, 0),
        )


def depths(parents: Int[Array, "B N"]) -> Int[Array, "B N"]:
    """Count the edges between each node and the root; 0 for padding."""
    counted: list[list[int]] = [[] for _ in parents]
    for row, above in zip(counted, parents.tolist(), strict=True):
        for parent in above:  # each stands before its children
            row.append(row[parent] + 1 if parent >= 0 else 0)
    return np.array(counted)


def listed(marked: Bool[Array, "B N"]) -> Int[Array, "B M"]:
    """List the marked places of each row, padded to the longest list."""
    if len(marked) == 1:
        only: Array = marked[0].nonzero()[0]
        return only[None]
    places = np.full((len(marked), marked.sum(1).max()), PADDING)
    row, place = np.nonzero(marked)
    places[row, (marked.cumsum(1) - 1)[row, place]] = place
    return places


def at(values: Array, places: Int[Array, "B M"], fill: int | float) -> Array:
    """Look values up at places that were listed, and fill in at padding; a single row's list has none."""
    if len(places) == 1:
        return values[:, places[0]]
    found = values[np.arange(len(places))[:, None], places]
    return np.where(places < 0, fill, found)


def rectangle(rows: Sequence[Sequence[Any]], fill: Any = PADDING) -> Array:
    """Pad rows to the longest; the numbers are of the filling's kind."""
    filled = np.full((len(rows), max(map(len, rows))), fill)
    for row, values in zip(filled, rows, strict=True):
        row[: len(values)] = values
    return filled
