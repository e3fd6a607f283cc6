"""The nodes of trees as plain lists: they are few, and what a list costs is a tenth of what an array's call does."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from attrs import frozen
from jaxtyping import Bool, Float, Int
from torch import Tensor

from specdec.errors import TreeError

PADDING = -1
"""Fills what is no node and no token; never a legal token id."""

Array = np.ndarray[Any, np.dtype[Any]]
Child = tuple[int, int, float]
"""Token, parent and score of a node to be."""
Value = TypeVar("Value")

_NOTHING: Child = (PADDING, PADDING, 0.0)


def array(tensor: Tensor) -> Array:
    """View a tensor of the CPU as numpy's."""
    view: Array = tensor.numpy()
    return view


@frozen(eq=False)
class Nodes:
    """What a `specdec.tree.Tree` shows as tensors: a list for each row, padded to the longest."""

    tokens: list[list[int]]
    parents: list[list[int]]
    scores: list[list[float]]
    depths: list[list[int]]

    @staticmethod
    def of(tokens: list[list[int]], parents: list[list[int]], scores: list[list[float]]) -> "Nodes":
        """Work out the depths; a node that does not stand behind its parent, which verifiers refuse, has none."""
        depths: list[list[int]] = [[] for _ in parents]
        for row, above in zip(depths, parents, strict=True):
            for parent in above:
                row.append(row[parent] + 1 if 0 <= parent < len(row) else 0)
        return Nodes(tokens, parents, scores, depths)

    @property
    def size(self) -> int:
        """How many places each row has, padding included."""
        return len(self.tokens[0]) if self.tokens else 1

    @property
    def depth(self) -> int:
        """How many levels any row has reached below its root."""
        return max(map(max, self.depths))

    @property
    def real(self) -> list[list[int]]:
        """The places of each row that hold a node."""
        return [[node for node, token in enumerate(row) if token >= 0] for row in self.tokens]

    @property
    def deepest(self) -> list[list[int]]:
        """The nodes of the last level that any row has reached."""
        last = self.depth
        if last == 0:
            return self.real
        return [[node for node, depth in enumerate(row) if depth == last] for row in self.depths]

    def rows(self, rows: Sequence[int]) -> "Nodes":
        """Copy some rows, in this order."""
        parts: list[Any] = [[[*part[row]] for row in rows] for part in self._parts]
        return Nodes(*parts)

    def check_parents(self, added: Sequence[Sequence[Child]]) -> None:
        """Check that new nodes have a node to hang under.

        Raises:
            TreeError: the message names the parent, or the nodes without one.
        """
        nodes = [
            (row, place, parent)
            for row, children in enumerate(added)
            for place, (token, parent, _) in enumerate(children)
            if token >= 0
        ]
        highest = max((parent for _, _, parent in nodes), default=0)
        if highest >= self.size:
            raise TreeError(f"expected parents among the tree's {self.size} nodes, got {highest}")
        orphans = [[row, place] for row, place, parent in nodes if parent < 0 or self.tokens[row][parent] < 0]
        if orphans:
            raise TreeError(f"expected every new node to have a node as parent, got none at {orphans}")

    def beside(self, added: Sequence[Sequence[Child]]) -> "Nodes":
        """Add nodes under others, and padding where a row gets fewer."""
        longest = max(map(len, added), default=0)
        grown = self.rows(range(len(added)))
        for row, children in enumerate(added if longest else []):
            tokens, parents, scores = zip(*children, *[_NOTHING] * (longest - len(children)), strict=True)
            depths = grown.depths[row]
            grown.tokens[row] += tokens
            grown.parents[row] += parents
            grown.scores[row] += scores
            depths += [depths[parent] + 1 if parent >= 0 else 0 for parent in parents]
        return grown

    def only(self, kept: Sequence[Sequence[bool]]) -> "Nodes":
        """Keep the roots and these nodes.

        Raises:
            TreeError: a node would be left without its parent.
        """
        places = [
            [node for node, (token, keep) in enumerate(zip(*row, strict=True)) if token >= 0 and (keep or node == 0)]
            for row in zip(self.tokens, kept, strict=True)
        ]
        if sum(map(len, places)) == sum(len(row) - row.count(PADDING) for row in self.tokens):
            return self  # all are kept
        names = [{node: name for name, node in enumerate(row)} for row in places]
        orphans = [
            [row, node]
            for row, nodes in enumerate(places)
            for node in nodes[1:]
            if self.parents[row][node] not in names[row]
        ]
        if orphans:
            raise TreeError(f"expected the parent of every kept node to be kept, got orphans at {orphans}")
        places = even(places, PADDING)
        above = at(self.parents, places, PADDING)
        parents = [[name.get(parent, PADDING) for parent in row] for name, row in zip(names, above, strict=True)]
        return Nodes(
            at(self.tokens, places, PADDING), parents, at(self.scores, places, 0.0), at(self.depths, places, 0)
        )

    def ancestors(self) -> Bool[Array, "B N N"]:
        """Whether node m is node n or above it, at [n, m]; padding has only itself."""
        above: list[list[int]] = [[] for _ in self.parents]
        for row, parents in zip(above, self.parents, strict=True):
            for node, parent in enumerate(parents):  # each stands behind its parent
                row.append(1 << node | (row[parent] if parent >= 0 else 0))
        return bits(above, self.size)

    @property
    def _parts(self) -> tuple[Any, ...]:
        return self.tokens, self.parents, self.scores, self.depths


class Arrays:
    """The same as numpy's arrays, each made anew whenever it is asked for."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    @property
    def tokens(self) -> Int[Array, "B N"]:
        """Tokens."""
        return np.array(self._nodes.tokens)

    @property
    def parents(self) -> Int[Array, "B N"]:
        """Parents, each before its children."""
        return np.array(self._nodes.parents)

    @property
    def scores(self) -> Float[Array, "B N"]:
        """Log-probabilities of the paths from the root."""
        return np.array(self._nodes.scores, np.float32)

    @property
    def depths(self) -> Int[Array, "B N"]:
        """Edges below the root."""
        return np.array(self._nodes.depths)

    @property
    def real(self) -> Bool[Array, "B N"]:
        """Which places hold a node."""
        return self.tokens >= 0

    @property
    def deepest(self) -> Bool[Array, "B N"]:
        """The nodes of the last level that any row has reached."""
        last = self._nodes.depth
        return self.depths == last if last else self.real


def bits(rows: Sequence[Sequence[int]], size: int) -> Bool[Array, "B M N"]:
    """Read whole numbers as rows of so many bits, the lowest first."""
    width = (size + 7) // 8
    data = b"".join(number.to_bytes(width, "little") for row in rows for number in row)
    shaped = np.frombuffer(data, np.uint8).reshape(len(rows), -1, width)
    return np.unpackbits(shaped, axis=-1, count=size, bitorder="little").view(bool)


def at(values: Sequence[Sequence[Value]], places: Sequence[Sequence[int]], fill: Value) -> list[list[Value]]:
    """Look each row's values up at some places, and fill in at padding."""
    return [
        [row[place] if place >= 0 else fill for place in chosen] for row, chosen in zip(values, places, strict=True)
    ]


def even(rows: Sequence[Sequence[Value]], fill: Value) -> list[list[Value]]:
    """Pad rows to the longest."""
    longest = max(map(len, rows))
    return [[*row, *[fill] * (longest - len(row))] for row in rows]


def rectangle(rows: Sequence[Sequence[int]]) -> Int[Array, "B N"]:
    """Pad rows of numbers to the longest, as an array."""
    return np.array(even(rows, PADDING), np.int64)
