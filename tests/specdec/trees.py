"""Ragged random trees, and the obvious way to everything that is asked of them."""

import torch
from hypothesis import strategies as st

from specdec import PADDING, Tree

Row = list[tuple[int, int]]
"""Token and parent of each node, the root first."""


@st.composite
def rows(draw: st.DrawFn, vocab: int = 5, most: int = 9) -> Row:
    """One row's tree; now and then a row that takes no part."""
    if draw(st.integers(0, 9)) == 0:
        return []
    size = draw(st.integers(1, most))
    token = st.integers(0, vocab - 1)
    return [(draw(token), draw(st.integers(0, node - 1)) if node else PADDING) for node in range(size)]


def batches(vocab: int = 5) -> st.SearchStrategy[list[Row]]:
    return st.lists(rows(vocab), min_size=1, max_size=4)


def tree_of(batch: list[Row]) -> Tree:
    """The batch as a tree; a node's score is minus its depth."""
    size = max(1, *map(len, batch)) if batch else 1
    fill = [row + [(PADDING, PADDING)] * (size - len(row)) for row in batch]
    tokens = torch.tensor([[token for token, _ in row] for row in fill])
    parents = torch.tensor([[parent for _, parent in row] for row in fill])
    scores = torch.tensor([[-float(len(lineage(row, n)) - 1) for n in range(size)] for row in fill])
    return Tree(tokens, parents, scores)


def lineage(row: Row, node: int) -> list[int]:
    """The node, its parent, and so on to the root."""
    above = row[node][1]
    return [node, *lineage(row, above)] if above >= 0 else [node]


def words(tree: Tree, row: int) -> list[tuple[int, ...]]:
    """Every node as the tokens on the way to it, in sorted order: what a tree is, whatever its numbering."""
    nodes = [node for node in range(tree.tokens.shape[1]) if tree.tokens[row, node] >= 0]
    return sorted(tuple(int(tree.tokens[row, step]) for step in [0, *tree.path(row, node)]) for node in nodes)
